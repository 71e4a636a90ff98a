package import ForgeCore

/// A tensor file that is nowhere yet: its header, and pieces whose bytes are made when somebody asks for them.
package struct MadeTensors<Piece: Sendable>: Sendable {
    package let table: TensorTable
    /// In the order of the file, which they fill behind the header.
    package let pieces: [(range: Range<Int>, piece: Piece)]
    private let header: [UInt8]

    package init(_ table: TensorTable, _ pieces: [(range: Range<Int>, piece: Piece)]) {
        self.table = table
        self.pieces = pieces
        header = table.headerBytes
        precondition(pieces.first.map { $0.range.lowerBound == header.count } ?? true && pieces.last?.range.upperBound ?? header.count == table.fileBytes, "pieces fill the file behind its header")
    }

    /// Any bytes of the file.
    /// - Parameter read: puts bytes of a piece, counted from its first, into the array from a place on.
    /// - Precondition: the range lies in the file.
    package func bytes(_ range: Range<Int>, _ read: (Piece, Range<Int>, inout [UInt8], Int) throws(Fault) -> Void) throws(Fault) -> [UInt8] {
        precondition(range.lowerBound >= 0 && range.upperBound <= table.fileBytes, "a file is read within its bytes")
        var out = [UInt8](repeating: 0, count: range.count)
        let head = range.clamped(to: 0..<header.count)
        out.replaceSubrange(0..<head.count, with: header[head])
        for (whole, piece) in pieces[first(endingAfter: range.lowerBound)...] {
            let part = whole.clamped(to: range)
            guard !part.isEmpty else { break }
            try read(piece, part.lowerBound - whole.lowerBound..<part.upperBound - whole.lowerBound, &out, part.lowerBound - range.lowerBound)
        }
        return out
    }

    /// The piece that has all of those bytes, and which of its own they are; nil if none has.
    package func piece(with range: Range<Int>) -> (piece: Piece, part: Range<Int>)? {
        let at = first(endingAfter: range.lowerBound)
        guard at < pieces.count, pieces[at].range.lowerBound <= range.lowerBound, range.upperBound <= pieces[at].range.upperBound else { return nil }
        let start = pieces[at].range.lowerBound
        return (pieces[at].piece, range.lowerBound - start..<range.upperBound - start)
    }

    private func first(endingAfter place: Int) -> Int {
        var low = 0, high = pieces.count
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].range.upperBound <= place { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
