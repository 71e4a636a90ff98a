/// Text that is equal only byte by byte.
///
/// Swift's `String` holds `é` and `e` + U+0301 for equal; two user names that differ so are two users, and the language
/// compares UTF-8. Everything a policy compares is therefore an `ExactText`.
package struct ExactText: Hashable, Sendable, Comparable, ExpressibleByStringLiteral, CustomStringConvertible {
    package let text: String

    package init(_ text: String) { self.text = text }
    package init(stringLiteral value: String) { text = value }

    package static func == (a: ExactText, b: ExactText) -> Bool {
        a.text.utf8.count == b.text.utf8.count && a.text.utf8.elementsEqual(b.text.utf8)
    }

    // Texts of equal bytes are canonically equivalent, so String's own hash serves.
    package func hash(into hasher: inout Hasher) { hasher.combine(text) }

    package static func < (a: ExactText, b: ExactText) -> Bool { a.text.utf8.lexicographicallyPrecedes(b.text.utf8) }

    package var description: String { text }
}
