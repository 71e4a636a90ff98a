/// Files that can run code when a library loads them. They are known by their names and, whatever their names, by their first bytes; none is ever opened further.
package enum ExecutableFormat: String, Sendable {
    case pickle = "a Python pickle"
    case pythonArchive = "a PyTorch archive of pickles"
    case numpy = "a NumPy file, which may hold pickles"
    case keras = "a Keras or HDF5 file, which may hold code"
    case program = "a program"
    case source = "source code that a library would run"
    case compressed = "an archive or a compressed file, whose content cannot be seen"

    private static let names: [String: ExecutableFormat] = [
        "bin": .pickle, "pt": .pickle, "pth": .pickle, "ckpt": .pickle, "pkl": .pickle, "pickle": .pickle, "p": .pickle, "joblib": .pickle, "dill": .pickle, "dat": .pickle,
        "data": .pickle, "mar": .pythonArchive, "pt2": .pythonArchive, "npy": .numpy, "npz": .numpy, "h5": .keras, "hdf5": .keras, "keras": .keras, "pb": .keras, "tflite": .keras,
        "onnx": .program, "so": .program, "dll": .program, "exe": .program, "sh": .source, "py": .source, "pyc": .program, "ipynb": .source, "js": .source, "lua": .source,
        "zip": .compressed, "tar": .compressed, "gz": .compressed, "tgz": .compressed, "bz2": .compressed, "xz": .compressed, "7z": .compressed, "zst": .compressed, "rar": .compressed,
        "whl": .compressed,
    ]

    /// - Parameters:
    ///   - name: the file's name.
    ///   - start: its first bytes, `sniffed` of them if it has as many.
    /// - Returns: nil for what none of them is.
    package init?(name: String, start: [UInt8]) {
        let parts = name.lowercased().split(separator: ".", omittingEmptySubsequences: false)
        if parts.count > 1, let known = parts.dropFirst().lazy.compactMap({ ExecutableFormat.names[String($0)] }).first {
            self = known
            return
        }
        // The length of a tensor file's header comes first, and as two bytes may be those of a pickle: 640 is 80 02. What has this shape goes to the reader of tensor files, and to no other.
        if parts.last == "safetensors", start.count > 8, start[4..<8].allSatisfy({ $0 == 0 }), start[8] == UInt8(ascii: "{") { return nil }
        guard let found = ExecutableFormat.sniff(start) else { return nil }
        self = found
    }

    package static let sniffed = 512

    private static func sniff(_ b: [UInt8]) -> ExecutableFormat? {
        func begins(_ bytes: [UInt8], at offset: Int = 0) -> Bool { b.count >= offset + bytes.count && b[offset..<(offset + bytes.count)].elementsEqual(bytes) }
        if begins([0x50, 0x4b, 0x03, 0x04]) || begins([0x50, 0x4b, 0x05, 0x06]) { return .pythonArchive }
        if begins([0x1f, 0x8b]) || begins(Array("BZh".utf8)) || begins([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]) || begins([0x28, 0xb5, 0x2f, 0xfd]) || begins([0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c])
            || begins(Array("ustar".utf8), at: 257)
        { return .compressed }
        if begins([0x93] + Array("NUMPY".utf8)) { return .numpy }
        if begins([0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]) { return .keras }
        if begins([0x7f, 0x45, 0x4c, 0x46]) || begins([0x4d, 0x5a]) { return .program }
        if begins(Array("#!".utf8)) { return .source }
        // Protocols 2 to 5 begin with PROTO and the number; 0 and 1 with a mark, a global or a container, which no JSON and no tensor file does.
        if b.count >= 2, b[0] == 0x80, (1...5).contains(b[1]) { return .pickle }
        if let first = b.first, let second = b.dropFirst().first {
            if first == UInt8(ascii: "c"), let line = b.dropFirst().firstIndex(of: 0x0a), b[1..<line].allSatisfy({ $0 == 0x5f || $0 == 0x2e || (0x30...0x39).contains($0) || (0x41...0x7a).contains($0) }), line > 1 {
                return .pickle
            }
            if first == UInt8(ascii: "("), [0x64, 0x6c, 0x74, 0x63, 0x53, 0x49, 0x56, 0x58, 0x4b, 0x4a, 0x70, 0x71, 0x69].contains(second) { return .pickle }
        }
        return nil
    }
}
