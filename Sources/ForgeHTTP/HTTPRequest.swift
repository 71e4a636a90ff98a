package import ForgeCore

/// The methods routes are written for.
package enum Method: String, Sendable, Hashable, CaseIterable {
    case get = "GET"
    case head = "HEAD"
    case post = "POST"
    case put = "PUT"
    case delete = "DELETE"
}

/// One request, its body already read where the route asks for a whole one.
package struct HTTPRequest: Sendable {
    /// Made here, never taken from the caller. Returned as `x-request-id`, and the `req` that links the records of one request.
    package let id: ID
    package let caller: Caller
    package let method: Method
    /// As it was sent, without the query. For messages; decisions read `parameters`.
    package let path: String
    /// The route's pattern, such as `/v1/models/{name}`.
    package let pattern: String
    package let parameters: [String: String]
    package let query: [String: String]
    package let headers: Headers
    /// The whole body; empty on a streaming route.
    package let body: [UInt8]
    /// The body of a streaming route, piece by piece, once. Empty elsewhere.
    package let stream: BodyStream

    package init(
        id: ID = ID(), caller: Caller, method: Method = .get, path: String = "/", pattern: String? = nil, parameters: [String: String] = [:],
        query: [String: String] = [:], headers: Headers = .init(), body: [UInt8] = [], stream: BodyStream = .empty
    ) {
        self.id = id
        self.caller = caller
        self.method = method
        self.path = path
        self.pattern = pattern ?? path
        self.parameters = parameters
        self.query = query
        self.headers = headers
        self.body = body
        self.stream = stream
    }

    /// A parameter of the route's pattern.
    /// - Precondition: the pattern has it.
    package func parameter(_ name: String) -> String {
        guard let value = parameters[name] else { preconditionFailure("the pattern `\(pattern)` has no `{\(name)}`") }
        return value
    }

    /// The body as a message.
    package func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws(Fault) -> Value {
        try Wire.decode(type, from: body, "the request body")
    }

    /// The body as JSON.
    package func json() throws(Fault) -> JSON { try Wire.parse(body, "the request body") }

    /// A whole number of the query.
    package func queryInt(_ name: String, default fallback: Int, in range: ClosedRange<Int>) throws(Fault) -> Int {
        guard let text = query[name] else { return fallback }
        guard let value = Int(text), range.contains(value) else {
            throw Fault(
                .request, "http.query", "cannot use `\(name)=\(text)`", why: "it must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// Refuses query names other than these, so that a misspelt one is not silently ignored.
    package func allowQuery(_ names: String...) throws(Fault) {
        for name in query.keys.sorted() where !names.contains(name) {
            throw Fault(
                .request, "http.query", "cannot use the query `\(name)`", why: "this path knows " + (names.isEmpty ? "none" : names.map { "`\($0)`" }.joined(separator: ", ")))
        }
    }
}
