import ForgeCore

/// Where lines begin, to say where a fault stands.
struct Source: Sendable {
    private var lineStarts = [0]

    init(_ scalars: [Unicode.Scalar]) {
        for (i, scalar) in scalars.enumerated() where scalar == "\n" { lineStarts.append(i + 1) }
    }

    /// Lines and columns count from one, columns in code points.
    private func place(_ offset: Int) -> String {
        var low = 0, high = lineStarts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if lineStarts[middle] <= offset { low = middle } else { high = middle }
        }
        return "line \(low + 1), column \(offset - lineStarts[low] + 1)"
    }

    func syntax(_ why: String, at offset: Int, remedy: String = "correct the template", code: String = "template.syntax") -> Fault {
        Fault(.request, code, "cannot read the chat template", why: "\(place(offset)): \(why)", remedy: remedy)
    }

    func stop(_ code: String, _ why: String, at offset: Int, remedy: String) -> Fault {
        Fault(.request, code, "the chat template stopped", why: "\(place(offset)): \(why)", remedy: remedy)
    }
}
