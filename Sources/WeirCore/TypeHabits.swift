/// Names of types in other languages and databases, and what Weir calls them.
public enum TypeHabits {
  /// Weir's name of the type; nil: nothing is evident.
  public static func name(of word: some StringProtocol) -> String? { names[word.lowercased()] }

  private static let names = [
    "int": "int64", "integer": "int64", "int8": "int64", "int16": "int64", "int32": "int64", "uint32": "int64", "uint64": "int64",
    "long": "int64", "short": "int64", "bigint": "int64", "smallint": "int64", "tinyint": "int64", "float": "double", "float32": "double",
    "float64": "double", "real": "double", "number": "double", "boolean": "bool", "str": "string", "text": "string", "char": "string",
    "varchar": "string", "uuid": "string", "date": "timestamp", "datetime": "timestamp", "time": "timestamp", "timestamptz": "timestamp",
    "numeric": "decimal(12,2)", "money": "decimal(12,2)", "array": "list<string>", "record": "struct<a:int64,b:string>",
    "object": "map<string,double>",
  ]
}
