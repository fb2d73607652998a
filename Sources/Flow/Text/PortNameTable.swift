/// The names of a bridge's ports, as a list.
public struct PortNameTable: PortNames, Sendable {
  private let numbers: [String: PortNumber]
  private let names: [PortNumber: String]

  /// Of several ports with the same name or number the first counts.
  public init(_ ports: [(name: String, number: PortNumber)]) {
    numbers = Dictionary(ports.map { ($0.name, $0.number) }) { first, _ in first }
    names = Dictionary(ports.map { ($0.number, $0.name) }) { first, _ in first }
  }

  public func number(ofPort name: String) -> PortNumber? { numbers[name] }
  public func name(ofPort number: PortNumber) -> String? { names[number] }
}
