"""SQL's scalar expressions over decoded records, evaluated by DuckDB: an implementation that weir shares nothing with."""
import re

import duckdb
import pyarrow as pa
import pyarrow.csv

TOKEN = re.compile(r"""\s+ | '(?:[^']|'')*' | "(?:[^"]|"")*" | [^\W\d]\w* | \d+(?:\.\d*)?(?:[eE][+-]?\d+)? | \.\d+ | .""", re.X | re.S)
SETTINGS = [
    "SET error_on_division_by_zero=false", "SET ieee_floating_point_ops=false", "SET integer_division=false", "SET TimeZone='UTC'",
    # It would lift an expression out of TRY, where an error in it fails the query.
    "SET disabled_optimizers='common_subexpressions'",
]


def arrow_type(f):
    if f.type == "decimal":
        return pa.decimal128(f.precision, f.scale)
    return {"bool": pa.bool_(), "int64": pa.int64(), "double": pa.float64(), "string": pa.string(),
            "timestamp": pa.timestamp("us")}[f.type]


class Evaluator:
    """Evaluates expressions over a fixed set of records."""

    def __init__(self, pipeline, columns):
        """columns: name -> (Arrow type, list); the declared fields and the system columns."""
        self.db = duckdb.connect()
        for setting in SETTINGS:
            self.db.execute(setting)
        self.names = set(columns)
        self.lookups = {}
        self.count = len(next(iter(columns.values()))[1])
        arrays = {n: pa.array(v, t) for n, (t, v) in columns.items()}
        self.db.register("r", pa.table(arrays | {"__row": pa.array(range(self.count), pa.int64())}))
        self.source = "r"
        for name, (path, key, types) in pipeline.lookups.items():
            arrow = {c: pa.string() if t == "string" else pa.int64() if t == "int64" else pa.float64() if t == "double" else None
                     for c, t in types.items()}
            convert = pa.csv.ConvertOptions(column_types={c: t for c, t in arrow.items() if t}, strings_can_be_null=False)
            table = pa.csv.read_csv(path, convert_options=convert)
            assert len(set(table[key].to_pylist())) == table.num_rows, f"{path}: a key is there twice"
            self.db.register(f"__{name}", table)
            self.lookups[name] = set(table.column_names)
            self.source += f' LEFT JOIN __{name} AS "{name}" ON r."{key}" = "{name}"."{key}"'

    def sql(self, text):
        """The expression with every column quoted, so that none is taken for a keyword, and whole numbers as int64."""
        tokens = TOKEN.findall(text)
        out = []
        for i, token in enumerate(tokens):
            name = token.strip('"')
            after = next((t for t in tokens[i + 1:] if not t.isspace()), "")
            before = next((t for t in reversed(tokens[:i]) if not t.isspace()), "")
            if before == "." or token[0] == "'":
                out.append(f'"{name}"' if before == "." else token)
            elif after == "." and name in self.lookups:
                out.append(f'"{name}"')
            elif name in self.names and after != "(":
                out.append(f'r."{name}"')
            elif token.isdigit() and not re.search(r"decimal\s*\([\d\s,]*$", "".join(tokens[:i]), re.I):
                out.append(f"{token}::BIGINT")
            else:
                out.append(token)
        return "".join(out)

    def evaluate(self, text):
        """(Arrow array, rows where the evaluation is an error)."""
        sql = self.sql(text)
        try:
            table = self.db.sql(f"SELECT __row, ({sql}) AS v FROM {self.source} ORDER BY __row").to_arrow_table()
            return _plain(table["v"]), set()
        except duckdb.Error as e:
            if isinstance(e, (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException)):
                raise SystemExit(f"oracle: DuckDB does not take {text!r} ({sql}): {e}") from None
        # TRY gives null for an error; within a struct that differs from a null of the expression itself.
        table = self.db.sql(f"SELECT __row, TRY({{'v': ({sql})}}) AS s FROM {self.source} ORDER BY __row").to_arrow_table()
        s = table["s"].combine_chunks()
        return _plain(s.field("v")), {i for i, valid in enumerate(s.is_valid().to_pylist()) if not valid}

    def mask(self, text):
        """(values as True, False or None, error rows)"""
        values, errors = self.evaluate(text)
        return values.to_pylist(), errors


def _plain(column):
    """One array, of one of the types that weir has."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    t = array.type
    if pa.types.is_integer(t):
        return array.cast(pa.int64())
    if pa.types.is_float32(t):
        return array.cast(pa.float64())
    if pa.types.is_timestamp(t):
        return array.cast(pa.timestamp("us"))
    if pa.types.is_null(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t):
        return array.cast(pa.string())
    return array
