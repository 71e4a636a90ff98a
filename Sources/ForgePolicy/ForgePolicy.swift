// ForgePolicy: the Cedar policy language, whole and pure.
//
// owns      the grammar and semantics of Cedar 4.5 (policies, entities, requests), the reader of `.cedarschema`, the Forge
//           profile over them, the policy bundle and its digest, and the approval machine
// promises  values in, values out: the same bundle, entities and request give the same verdict everywhere; what cannot be
//           evaluated exactly does not parse; an erroring `forbid` denies
// never     reads a file, a clock or a socket; never accepts a template, a JSON policy or an unknown function
// flow      text → Lexer → Parser → PolicySet ┐
//           JSON → EntityReader → EntityStore ├→ Authorizer → Answer → Profile → Verdict
//           AccessRequest → PolicyRequest     ┘
//
// lacks     a schema validator: a bundle that is not the shipped one is therefore refused at activation (`ShippedBundle`)
import ForgeCore

/// The engine's name and version, as decisions record it.
package enum PolicyEngineVersion {
    package static let current = "ForgePolicy/\(ForgeVersion.current) cedar-4.5"
}

/// A place in a policy or schema text: lines and columns count from one, columns in Unicode scalars.
package struct TextPosition: Hashable, Sendable, CustomStringConvertible {
    package let line: Int
    package let column: Int
    package var description: String { "line \(line), column \(column)" }
}

/// Why a text is not the language, and where.
package struct SyntaxError: Error, Hashable, Sendable, CustomStringConvertible {
    package let reason: String
    package let position: TextPosition
    package var description: String { "\(position): \(reason)" }
}
