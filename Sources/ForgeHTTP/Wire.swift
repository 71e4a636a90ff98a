package import ForgeCore
import FoundationEssentials

/// Messages as JSON, strictly: what does not parse as our JSON (duplicate keys, bad UTF-8, excess depth) does not decode either.
package enum Wire {
    /// Keys sorted, slashes bare: the same value gives the same bytes.
    package static func encode(_ value: some Encodable) throws(Fault) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do { return Array(try encoder.encode(value)) } catch {
            throw Fault(.environment, "wire.encode", "cannot write a message", why: "it holds a value JSON cannot carry", detail: "\(error)")
        }
    }

    /// - Parameter subject: what the bytes are, for the message, such as `the request body`.
    package static func decode<Value: Decodable>(_ type: Value.Type = Value.self, from bytes: [UInt8], _ subject: String) throws(Fault) -> Value {
        _ = try parse(bytes, subject)
        do { return try JSONDecoder().decode(type, from: Data(bytes)) } catch let error as DecodingError {
            throw Fault(.request, "wire.shape", "cannot read \(subject)", why: explain(error))
        } catch let error as Fault {
            throw error
        } catch {
            throw Fault(.request, "wire.shape", "cannot read \(subject)", why: "it has an unexpected shape", detail: "\(error)")
        }
    }

    package static func parse(_ bytes: [UInt8], _ subject: String) throws(Fault) -> JSON {
        do { return try JSON.parse(bytes) } catch {
            throw Fault(.request, "wire.json", "cannot read \(subject)", why: bytes.isEmpty ? "it is empty where JSON was expected" : "it is not JSON we accept: \(error)")
        }
    }

    private static func explain(_ error: DecodingError) -> String {
        func place(_ path: [any CodingKey]) -> String {
            path.isEmpty ? "the value" : "`" + path.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".") + "`"
        }
        return switch error {
        case .keyNotFound(let key, let context): "\(place(context.codingPath + [key])) is missing"
        case .valueNotFound(_, let context): "\(place(context.codingPath)) is null"
        case .typeMismatch(let type, let context): "\(place(context.codingPath)) should be \(word(type))"
        case .dataCorrupted(let context): "\(place(context.codingPath)): \(context.debugDescription.lowercasedFirst)"
        @unknown default: "it has an unexpected shape"
        }
    }

    private static func word(_ type: any Any.Type) -> String {
        switch type {
        case is String.Type: "text"
        case is Bool.Type: "true or false"
        case is any BinaryInteger.Type: "a whole number"
        case is any BinaryFloatingPoint.Type: "a number"
        case is any Collection.Type: "a list or an object"
        default: "of another type"
        }
    }
}

extension String {
    fileprivate var lowercasedFirst: String {
        var text = self
        if text.hasSuffix(".") { text.removeLast() }
        return text.prefix(1).lowercased() + text.dropFirst()
    }
}
