/// The version of Weir.
package let weirVersion = "0.1.0"
