/// The arithmetic of the language: exact in 128 bits, rounded once, and undefined where the result is too large (docs/formats/quant-language.md §1).
enum Exact {
    /// - Returns: nothing if the value is larger than the language holds.
    static func bounded(_ value: Int128) -> Int64? { value.magnitude <= Int128(Formula.Bounds.value).magnitude ? Int64(value) : nil }

    /// `a / b` to the nearest integer, halves to even.
    /// - Precondition: `b` is not 0, and twice its magnitude fits.
    static func quotient(_ a: Int128, by b: Int128) -> Int128 {
        let (whole, rest) = a.quotientAndRemainder(dividingBy: b)
        let twice = rest.magnitude * 2
        guard twice > b.magnitude || (twice == b.magnitude && whole & 1 == 1) else { return whole }
        return (a < 0) == (b < 0) ? whole + 1 : whole - 1
    }

    /// ⌊√n⌋ by Newton's method from above: it falls until it is there.
    /// - Precondition: `n` is not negative.
    static func root(_ n: Int128) -> Int128 {
        guard n > 1 else { return n }
        var guess: Int128 = 1 << ((Int128.bitWidth - n.leadingZeroBitCount + 1) / 2)
        while true {
            let next = (guess + n / guess) / 2
            if next >= guess { return guess }
            guess = next
        }
    }
}
