package import ForgeCore
import ForgeHTTP

/// `{"error":{"message","type","param","code"}}`, all four always there, as OpenAI's clients read it.
package struct OpenAIError: Hashable, Sendable {
    package let message: String
    package let type: String
    package let param: String?
    package let code: String?

    /// Codes whose last word names a parameter.
    private static let parameterCodes: Set<String> = [
        "unknown_parameter", "unsupported_parameter", "invalid_value", "missing_required_parameter", "context_length_exceeded",
    ]

    package init(_ fault: Fault) {
        var message = fault.message
        if !fault.remedy.isEmpty { message += "; \(fault.remedy)" }
        if let record = fault.record { message += " (audit record \(record))" }
        self.message = message
        type =
            switch fault.kind {
            case .request: fault.httpStatus == 429 ? "rate_limit_error" : "invalid_request_error"
            case .unauthenticated: "authentication_error"
            case .denied, .approval: "permission_error"
            case .environment: "server_error"
            }
        let words = fault.code.split(separator: ".", maxSplits: 1).map(String.init)
        switch words.first ?? "" {
        case let word where OpenAIError.parameterCodes.contains(word):
            code = word
            param = words.count > 1 ? words[1] : nil
        case "sampling":
            code = "invalid_value"
            param = words.count > 1 ? words[1] : nil
        case "prompt":
            code = "invalid_value"
            param = "prompt"
        default:
            param = fault.code == "model.not_found" ? "model" : nil
            code = fault.kind == .unauthenticated ? "invalid_api_key" : fault.code.split(separator: ".").joined(separator: "_")
        }
    }

    package var json: JSON {
        [
            "error": [
                "message": .string(message), "type": .string(type), "param": param.map { .string($0) } ?? .null, "code": code.map { .string($0) } ?? .null,
            ]
        ]
    }

    /// For `HTTPServer(faultBody:)`.
    package static func body(_ fault: Fault, _ request: ID) -> JSON { OpenAIError(fault).json }
}
