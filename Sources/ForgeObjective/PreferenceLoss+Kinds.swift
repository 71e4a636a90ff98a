import Glibc

extension PreferenceLoss {
    /// A loss and its derivatives by the policy's two sums.
    struct Gradient {
        var loss = 0.0
        var chosen = 0.0
        var rejected = 0.0
    }

    /// Log-odds of a mean log-probability above this are those at this, slope too: float32 cannot tell such a probability from 1, whose odds have no end.
    static let certain = -0x1p-24

    /// The formulas of `Kind`, without the likelihood that may be added.
    func preferred(_ pair: Pair) -> Gradient {
        let c = pair.chosen.policy - (pair.chosen.reference ?? 0), r = pair.rejected.policy - (pair.rejected.reference ?? 0)
        switch kind {
        case .sigmoid, .sigmoidNorm, .robust, .conservative, .hinge, .ipo, .simpo, .dpoOffset, .online, .exoPair, .aot, .aotUnpaired, .discopop:
            return ofMargin(pair, options.divergence.score(c), options.divergence.score(r))
        case .orpo: return odds(pair)
        case .ncaPair:
            let a = beta * c, b = beta * r
            return Gradient(
                loss: -logSigmoid(a) - 0.5 * logSigmoid(-a) - 0.5 * logSigmoid(-b), chosen: beta * (0.5 * sigmoid(a) - sigmoid(-a)), rejected: beta * 0.5 * sigmoid(b))
        case .bcoPair:
            return Gradient(loss: -logSigmoid(beta * c) - logSigmoid(-beta * r), chosen: -beta * sigmoid(-beta * c), rejected: beta * sigmoid(beta * r))
        case .sppoHard:
            let a = c - 0.5 / beta, b = r + 0.5 / beta
            return Gradient(loss: a * a + b * b, chosen: 2 * a, rejected: 2 * b)
        case .apoZero:
            let a = beta * c, b = beta * r
            return Gradient(loss: sigmoid(-a) + sigmoid(b), chosen: -beta * sigmoid(a) * sigmoid(-a), rejected: beta * sigmoid(b) * sigmoid(-b))
        case .apoDown:
            let a = beta * c, d = beta * (c - r), down = beta * sigmoid(d) * sigmoid(-d)
            return Gradient(loss: sigmoid(a) + sigmoid(-d), chosen: beta * sigmoid(a) * sigmoid(-a) - down, rejected: down)
        }
    }

    /// A loss of one margin x = w_c c − w_l l − δ of the two scores.
    private func ofMargin(_ pair: Pair, _ c: Curve, _ r: Curve) -> Gradient {
        let scale = kind == .ipo ? 1 : beta
        let byChosen = kind.isNormalised ? scale / Double(pair.chosen.tokens) : scale, byRejected = kind.isNormalised ? scale / Double(pair.rejected.tokens) : scale
        // One product where the weights are one, as the papers have it: the difference keeps more digits than two products' difference.
        let x = byChosen == byRejected ? byChosen * (c.value - r.value) : byChosen * c.value - byRejected * r.value
        let curve = curve(x - shift(pair.scores), preference: pair.preference ?? 1)
        return Gradient(loss: curve.value, chosen: byChosen * curve.slope * c.slope, rejected: -byRejected * curve.slope * r.slope)
    }

    private func shift(_ scores: Scores?) -> Double {
        if kind == .simpo { return margin }
        guard kind == .dpoOffset, let scores else { return 0 }
        let f = switch options.offset {
        case .log: log(scores.chosen - scores.rejected)
        case .identity: scores.chosen - scores.rejected
        case .logRatio: log(scores.chosen / scores.rejected)
        }
        return options.offsetScale * f
    }

    /// What the kind makes of its margin.
    func curve(_ x: Double, preference: Double = 1) -> Curve {
        let e = labelSmoothing
        switch kind {
        case .conservative, .simpo, .aot, .aotUnpaired: return .logistic(x, preferring: 1 - e)
        case .robust:
            if e == 0 { return .logistic(x) }
            let by = 1 / (1 - 2 * e)
            return Curve(value: by * (e * logSigmoid(-x) - (1 - e) * logSigmoid(x)), slope: -by * ((1 - e) * sigmoid(-x) + e * sigmoid(x)))
        case .hinge: return Curve(value: max(0, 1 - x), slope: x < 1 ? -1 : 0)
        case .ipo:
            let off = x - 1 / (2 * beta)
            return Curve(value: off * off, slope: 2 * off)
        case .online:
            var curve = Curve.logistic(x, preferring: preference)
            if options.isRescaled { (curve.value, curve.slope) = (curve.value / beta, curve.slope / beta) }
            return curve
        case .exoPair:
            let chosen = sigmoid(x), rejected = sigmoid(-x), forChosen = log1p(-e), forRejected = log(e)
            return Curve(
                value: chosen * (logSigmoid(x) - forChosen) + rejected * (logSigmoid(-x) - forRejected), slope: chosen * rejected * (x - (forChosen - forRejected)))
        case .discopop:
            let tau = options.temperature, m = sigmoid(x / tau), plain = sigmoid(-x / tau)
            // e^(−x) m in one exponential: alone, the first overflows where the second is nothing.
            let grown = exp(logSigmoid(x / tau) - x), soft = -logSigmoid(x)
            return Curve(value: soft * plain + grown, slope: -sigmoid(-x) * plain - soft * m * plain / tau + grown * (plain / tau - 1))
        default: return .logistic(x)
        }
    }

    /// ORPO's ratio of odds.
    private func odds(_ pair: Pair) -> Gradient {
        func logit(_ answer: Completion) -> Curve {
            let mean = answer.policy / Double(answer.tokens), held = min(mean, PreferenceLoss.certain)
            return Curve(value: mean - logOneMinusExp(held), slope: -1 / expm1(held) / Double(answer.tokens))
        }
        let c = logit(pair.chosen), r = logit(pair.rejected), curve = Curve.logistic(c.value - r.value)
        return Gradient(loss: beta * curve.value, chosen: beta * curve.slope * c.slope, rejected: -beta * curve.slope * r.slope)
    }
}
