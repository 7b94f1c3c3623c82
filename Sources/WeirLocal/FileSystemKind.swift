import CWeirSystem

package enum FileSystemKind {
  /// Whether an open file belongs to procfs, sysfs or another file system of the kernel. Unknown counts as yes.
  package static func isKernels(_ descriptor: Int32) -> Bool { weir_is_kernel_file(descriptor) != 0 }
}
