/// A JSON-RPC 1.0 message, as RFC 7047 §4 uses them: parameters are an array, ids are any JSON value but null.
public enum Message: Equatable, Sendable {
  case request(method: String, params: [JSON], id: JSON)
  case notification(method: String, params: [JSON])
  case response(id: JSON, result: JSON)
  case failure(id: JSON, error: JSON)

  /// Reads one message; the error is a sentence about what is wrong with it.
  public init(_ json: JSON) throws(MessageError) {
    guard case .object(let members) = json else {
      throw MessageError("a JSON-RPC message must be an object, not \(json.kind)")
    }
    let id = members["id"] ?? .null
    if let method = members["method"], !method.isNull {
      guard let method = method.string else { throw MessageError("the method must be a string") }
      // ovsdb-server(7) §4.1.17 has a request without parameters say null.
      let given = members["params"] ?? .null
      guard let params = given.isNull ? [] : given.array else {
        throw MessageError("the params of \(method) must be an array")
      }
      self =
        id.isNull
        ? .notification(method: method, params: params) : .request(method: method, params: params, id: id)
      return
    }
    guard !id.isNull else { throw MessageError("a JSON-RPC message needs a method or an id") }
    let error = members["error"] ?? .null
    let result = members["result"] ?? .null
    guard error.isNull || result.isNull else {
      throw MessageError("a response has a result or an error, not both")
    }
    self = error.isNull ? .response(id: id, result: result) : .failure(id: id, error: error)
  }

  public func write(to output: inout [UInt8]) { json.write(to: &output) }

  public var json: JSON {
    switch self {
    case .request(let method, let params, let id):
      ["id": id, "method": .string(method), "params": .array(params)]
    case .notification(let method, let params):
      ["id": nil, "method": .string(method), "params": .array(params)]
    case .response(let id, let result): ["error": nil, "id": id, "result": result]
    case .failure(let id, let error): ["error": error, "id": id, "result": nil]
    }
  }
}

public struct MessageError: Error, Equatable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}
