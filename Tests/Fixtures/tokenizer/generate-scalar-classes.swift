// Writes Sources/ForgeTokenizer/ScalarClassTable.swift from the tool chain's own Unicode properties:
//   swiftc -O generate-scalar-classes.swift -o /tmp/generate && /tmp/generate > Sources/ForgeTokenizer/ScalarClassTable.swift
// The table is kept in the tree so that a newer tool chain cannot change how a text is split. A test compares the two.

func scalarClass(_ value: UInt32) -> UInt32 {
    guard let scalar = Unicode.Scalar(value) else { return 0 }
    if scalar.properties.isWhitespace { return 6 }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .titlecaseLetter: return 1
    case .lowercaseLetter: return 2
    case .modifierLetter, .otherLetter: return 3
    case .nonspacingMark, .spacingMark, .enclosingMark: return 4
    case .decimalNumber, .letterNumber, .otherNumber: return 5
    default: return 0
    }
}

var starts: [UInt32] = []
var last: UInt32 = .max
for value in UInt32(0)...0x10ffff {
    let c = scalarClass(value)
    if c != last {
        starts.append(value << 3 | c)
        last = c
    }
}

print("// Made by Tests/Fixtures/tokenizer/generate-scalar-classes.swift; do not edit.")
print("")
print("extension ScalarClass {")
print("    /// Where each run of scalars of one class starts: the scalar's value shifted left by three, with the class in the low bits.")
print("    static let runs: [UInt32] = [")
for row in stride(from: 0, to: starts.count, by: 16) {
    print("        " + starts[row..<min(row + 16, starts.count)].map(String.init).joined(separator: ", ") + ",")
}
print("    ]")
print("}")
