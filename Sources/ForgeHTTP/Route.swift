package import ForgeCore

/// One thing a daemon answers to: method and pattern, how its body comes, how long it may take, and who answers.
package struct Route: Sendable {
    package typealias Handler = @Sendable (HTTPRequest) async throws -> HTTPResponse

    package enum BodyMode: Sendable, Hashable {
        /// Read before the handler runs; more is refused with 413.
        case whole(ByteCount)
        /// Handed to the handler piece by piece; more than the limit is a fault in mid-stream.
        case streaming(ByteCount)
    }

    package let method: Method
    /// Segments are literal or `{name}`, which matches exactly one non-empty segment.
    package let pattern: String
    package let body: BodyMode
    /// From the head's arrival to the response's head; nil where waiting is the point (long polls, uploads).
    package let deadline: Duration?
    /// Whether a drain cancels it at once (long polls) rather than letting it finish. Such a route has no deadline.
    package let yieldsToDrain: Bool
    /// One line for the description of the API.
    package let summary: String
    package let handler: Handler

    package init(
        _ method: Method, _ pattern: String, body: BodyMode = .whole(.mib(1)), deadline: Duration? = .seconds(30), yieldsToDrain: Bool = false,
        summary: String = "", handler: @escaping Handler
    ) {
        self.method = method
        self.pattern = pattern
        self.body = body
        self.deadline = yieldsToDrain ? nil : deadline
        self.yieldsToDrain = yieldsToDrain
        self.summary = summary
        self.handler = handler
    }
}

/// The routes of one door. Literal segments win over parameters; two routes that match the same are a bug.
package struct Router: Sendable {
    /// In the order they were written, for tests and descriptions that walk them.
    package let routes: [Route]
    private let root: Node

    package enum Match: Sendable {
        case found(Route, [String: String])
        /// The path exists, with these methods.
        case otherMethod([Method])
        case nothing
    }

    private struct Node: Sendable {
        var literals: [String: Node] = [:]
        var parameter: [Node] = []  // at most one; a struct cannot hold itself
        var answers: [Method: (index: Int, names: [String])] = [:]
    }

    /// - Precondition: patterns begin with `/`, have no empty segments, and none is there twice for one method.
    package init(_ routes: [Route]) {
        self.routes = routes
        var root = Node()
        for (index, route) in routes.enumerated() {
            precondition(route.pattern.hasPrefix("/"), "a pattern begins with a slash: `\(route.pattern)`")
            let segments = route.pattern.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            Router.insert(segments == [""] ? [] : segments[...], [], index, route, into: &root)
        }
        self.root = root
    }

    private static func insert(_ segments: ArraySlice<String>, _ names: [String], _ index: Int, _ route: Route, into node: inout Node) {
        guard let first = segments.first else {
            precondition(node.answers[route.method] == nil, "`\(route.method.rawValue) \(route.pattern)` is routed twice")
            node.answers[route.method] = (index, names)
            return
        }
        precondition(!first.isEmpty, "a pattern has no empty segments: `\(route.pattern)`")
        if first.hasPrefix("{"), first.hasSuffix("}") {
            if node.parameter.isEmpty { node.parameter = [Node()] }
            insert(segments.dropFirst(), names + [String(first.dropFirst().dropLast())], index, route, into: &node.parameter[0])
        } else {
            insert(segments.dropFirst(), names, index, route, into: &node.literals[first, default: Node()])
        }
    }

    /// - Parameter path: as sent, without the query. Each segment is percent-decoded on its own, so `%2F` never makes a new one.
    package func match(_ method: Method?, _ path: some StringProtocol) -> Match {
        guard path.hasPrefix("/") else { return .nothing }
        var segments: [String] = []
        if path != "/" {
            for raw in path.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
                // `.` and `..` name nothing here; refusing them keeps every log line meaning what it says.
                guard !raw.isEmpty, let segment = Percent.decode(raw), segment != ".", segment != ".." else { return .nothing }
                segments.append(segment)
            }
        }
        var allowed: Set<Method> = []
        if let found = find(segments[...], [], root, method, &allowed) { return found }
        return allowed.isEmpty ? .nothing : .otherMethod(allowed.sorted { $0.rawValue < $1.rawValue })
    }

    private func find(_ segments: ArraySlice<String>, _ values: [String], _ node: Node, _ method: Method?, _ allowed: inout Set<Method>) -> Match? {
        guard let first = segments.first else {
            // A GET answers HEAD too, without its body.
            if let method, let answer = node.answers[method] ?? (method == .head ? node.answers[.get] : nil) {
                return .found(routes[answer.index], Dictionary(zip(answer.names, values)) { _, last in last })
            }
            allowed.formUnion(node.answers.keys)
            if node.answers[.get] != nil { allowed.insert(.head) }
            return nil
        }
        if let next = node.literals[first], let found = find(segments.dropFirst(), values, next, method, &allowed) { return found }
        if let next = node.parameter.first { return find(segments.dropFirst(), values + [first], next, method, &allowed) }
        return nil
    }
}
