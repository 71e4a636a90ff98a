/// A run's loss as a picture: one SVG document without scripts, fonts or references to anything.
package struct LossCurve: Sendable {
    package let title: String
    /// In the whole run.
    package let steps: Int
    package let points: [(step: Int, loss: Double)]

    package init(title: String, steps: Int, points: [(step: Int, loss: Double)]) {
        self.title = title
        self.steps = steps
        self.points = points.filter { $0.loss.isFinite }
    }

    /// At most `count` means of neighbouring values, in order.
    package static func means(_ values: [Double], count: Int) -> [Double] {
        guard values.count > count else { return values }
        return (0..<count).map { i in
            let range = (i * values.count / count)..<max((i + 1) * values.count / count, i * values.count / count + 1)
            return values[range].reduce(0, +) / Double(range.count)
        }
    }

    private static let width = 720.0, height = 400.0, left = 64.0, right = 16.0, top = 40.0, bottom = 48.0

    package var svg: String {
        let losses = points.map(\.loss)
        let low = losses.min() ?? 0, high = max(losses.max() ?? 1, low + 1e-9)
        let (first, last, step) = LossCurve.axis(low, high)
        func x(_ value: Int) -> Double { LossCurve.left + Double(value) / Double(max(steps, 1)) * (LossCurve.width - LossCurve.left - LossCurve.right) }
        func y(_ value: Double) -> Double { LossCurve.height - LossCurve.bottom - (value - first) / (last - first) * (LossCurve.height - LossCurve.top - LossCurve.bottom) }
        var out = """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 400" role="img" font-family="sans-serif" font-size="12">
            <title>\(LossCurve.escaped(title)): loss by step</title>
            <rect width="720" height="400" fill="#ffffff"/>
            <text x="64" y="24" font-size="15" fill="#1a1a1a">\(LossCurve.escaped(title))</text>

            """
        var mark = first
        while mark <= last + step / 2 {
            let at = LossCurve.text(y(mark), 1)
            out += "<line x1=\"64\" y1=\"\(at)\" x2=\"704\" y2=\"\(at)\" stroke=\"#e0e0e0\"/>\n"
            out += "<text x=\"58\" y=\"\(at)\" dy=\"4\" text-anchor=\"end\" fill=\"#555555\">\(LossCurve.text(mark, 2))</text>\n"
            mark += step
        }
        for i in 0...4 {
            let value = steps * i / 4
            out += "<text x=\"\(LossCurve.text(x(value), 1))\" y=\"372\" text-anchor=\"middle\" fill=\"#555555\">\(value)</text>\n"
        }
        out += "<text x=\"384\" y=\"392\" text-anchor=\"middle\" fill=\"#555555\">step</text>\n"
        out += "<text x=\"16\" y=\"200\" text-anchor=\"middle\" fill=\"#555555\" transform=\"rotate(-90 16 200)\">loss, nats per token</text>\n"
        if !points.isEmpty {
            // No screen shows more; means of neighbours keep the shape.
            let count = min(points.count, 1000)
            let line = (0..<count).map { i -> String in
                let range = (i * points.count / count)..<max((i + 1) * points.count / count, i * points.count / count + 1)
                let mean = points[range].reduce(0) { $0 + $1.loss } / Double(range.count)
                return "\(LossCurve.text(x(points[range.upperBound - 1].step), 1)),\(LossCurve.text(y(mean), 1))"
            }
            out += "<polyline fill=\"none\" stroke=\"#0b5cad\" stroke-width=\"1.5\" points=\"\(line.joined(separator: " "))\"/>\n"
        }
        return out + "</svg>\n"
    }

    /// Round marks around a range: 1, 2 or 5 times a power of ten apart.
    private static func axis(_ low: Double, _ high: Double) -> (first: Double, last: Double, step: Double) {
        var step = 1e-9
        let factors = [2.0, 2.5, 2.0]
        var i = 0
        while (high - low) / step > 6 {
            step *= factors[i % 3]
            i += 1
        }
        let first = (low / step).rounded(.down) * step
        return (first, max((high / step).rounded(.up) * step, first + step), step)
    }

    /// A number with `digits` after the point.
    static func text(_ value: Double, _ digits: Int) -> String {
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let whole = Int64((abs(value) * scale).rounded())
        let (integer, fraction) = whole.quotientAndRemainder(dividingBy: Int64(scale))
        let tail = String(fraction)
        return (value < 0 && whole > 0 ? "-" : "") + String(integer) + (digits > 0 ? "." + String(repeating: "0", count: digits - tail.utf8.count) + tail : "")
    }

    private static func escaped(_ text: String) -> String {
        text.reduce(into: "") { out, character in
            switch character {
            case "<": out += "&lt;"
            case "&": out += "&amp;"
            case ">": out += "&gt;"
            default: out.append(character)
            }
        }
    }
}
