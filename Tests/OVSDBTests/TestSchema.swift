import JSONRPC

@testable import OVSDB

/// A schema with one column of every kind, references of both kinds, an index and a limited table.
let testSchemaText = """
  {"name": "Test", "version": "1.0.0", "tables": {
    "Root": {"isRoot": true, "indexes": [["name"]], "columns": {
      "name": {"type": "string"},
      "number": {"type": {"key": {"type": "integer", "minInteger": -100, "maxInteger": 100000}}},
      "ratio": {"type": "real"},
      "flag": {"type": "boolean"},
      "maybe": {"type": {"key": "integer", "min": 0, "max": 1}},
      "tags": {"type": {"key": "integer", "min": 0, "max": "unlimited"}},
      "few": {"type": {"key": "string", "min": 0, "max": 3}},
      "color": {"type": {"key": {"type": "string", "enum": ["set", ["red", "green"]]}, "min": 0, "max": 1}},
      "short": {"type": {"key": {"type": "string", "minLength": 0, "maxLength": 4}}},
      "options": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
      "children": {"type": {"key": {"type": "uuid", "refTable": "Child"}, "min": 0, "max": "unlimited"}},
      "named": {"type": {"key": "string", "value": {"type": "uuid", "refTable": "Child"}, "min": 0, "max": "unlimited"}},
      "friends": {"type": {"key": {"type": "uuid", "refTable": "Child", "refType": "weak"}, "min": 0, "max": "unlimited"}},
      "fixed": {"type": "string", "mutable": false},
      "live": {"type": {"key": "string", "value": "integer", "min": 0, "max": "unlimited"}, "ephemeral": true}}},
    "Child": {"columns": {
      "name": {"type": "string"},
      "next": {"type": {"key": {"type": "uuid", "refTable": "Child"}, "min": 0, "max": 1}},
      "live": {"type": "integer", "ephemeral": true}}},
    "Needy": {"isRoot": true, "columns": {
      "friend": {"type": {"key": {"type": "uuid", "refTable": "Child", "refType": "weak"}, "min": 1, "max": 1}}}},
    "Single": {"isRoot": true, "maxRows": 1, "columns": {"value": {"type": "integer"}}}}}
  """

func testSchema() throws -> DatabaseSchema { try DatabaseSchema(JSON(parsing: testSchemaText)) }
