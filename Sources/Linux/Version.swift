/// The product's version, shown by every program.
public let productVersion = "0.1.0"
