import ForgeConfig
import ForgeCore
package import ForgeObjective

extension Recipe {
    /// What judged answers are learnt by.
    package enum Preference: Sendable, Hashable {
        /// Two answers to one prompt, the first preferred.
        case pairs(PreferenceLoss)
        /// Single answers, each good or bad.
        case labelled(UnpairedLoss)

        package var needsReference: Bool {
            switch self {
            case .pairs(let loss): loss.kind.needsReference
            case .labelled: true
            }
        }
    }
}

extension Recipe.Preference {
    /// Nil for a method that knows no preferences.
    init?(_ root: inout YAMLReader, for method: Recipe.Method) throws(Fault) {
        guard method == .dpo || method == .odpo || method == .kto else { return nil }
        var reader = try root.optionalReader("preference")
        switch method {
        case .dpo: self = .pairs(try PreferenceLoss(reading: &reader, unless: .sigmoid, online: false))
        case .odpo: self = .pairs(try PreferenceLoss(reading: &reader, unless: .online, online: true))
        default: self = .labelled(try UnpairedLoss(reading: &reader))
        }
        if let reader { try reader.finish() }
    }

    var yaml: String {
        let lines: [(String, String)] = switch self {
        case .pairs(let loss): loss.settings
        case .labelled(let loss):
            [("loss", loss.kind.rawValue), ("beta", "\(loss.beta)"), ("desirable_weight", "\(loss.desirableWeight)"), ("undesirable_weight", "\(loss.undesirableWeight)")]
        }
        return "preference:\n" + lines.map { "  \($0): \($1)\n" }.joined()
    }
}

extension UnpairedLoss {
    fileprivate init(reading reader: inout YAMLReader?) throws(Fault) {
        try self.init(
            try reader?.optionalChoice("loss") ?? .kto, beta: try reader?.optionalDouble("beta", in: 1e-6...1e3) ?? 0.1,
            desirableWeight: try reader?.optionalDouble("desirable_weight", in: 0...1e3) ?? 1, undesirableWeight: try reader?.optionalDouble("undesirable_weight", in: 0...1e3) ?? 1)
    }
}

extension PreferenceLoss {
    /// A setting that the kind does not take is no key of its own: the reader refuses it by name.
    /// - Parameters:
    ///   - usual: where none is named.
    ///   - online: whether the answers are drawn while the run learns.
    fileprivate init(reading reader: inout YAMLReader?, unless usual: Kind, online: Bool) throws(Fault) {
        let kind = try reader?.optionalChoice("loss", of: Kind.self) ?? usual
        if let reader {
            if kind == .online, !online { throw reader.fault("loss", "is `odpo`, which learns from answers drawn anew: set `method: odpo`") }
            if online, !kind.needsReference || kind.spansBatch || kind.needsScores { throw reader.fault("loss", "is `\(kind.rawValue)`, which `method: odpo` does not take: its pairs are as many as happen to differ, without scores") }
        }
        let beta = try reader?.optionalDouble("beta", in: 1e-6...1e3) ?? kind.defaultBeta
        var options = Options()
        options.nll = try reader?.optionalDouble("nll", in: 0...1e3) ?? kind.defaultLikelihood
        if kind.takesLabelSmoothing { options.labelSmoothing = try reader?.optionalDouble("label_smoothing", in: 0...0.5) ?? kind.defaultLabelSmoothing }
        if kind == .simpo { options.margin = try reader?.optionalDouble("simpo_gamma", in: 0...1e3) ?? beta / 2 }
        if kind == .online { options.isRescaled = try reader?.optionalBool("rescaled") ?? false }
        if kind == .discopop { options.temperature = try reader?.optionalDouble("discopop_tau", in: 1e-3...1) ?? options.temperature }
        if kind.needsScores {
            options.offset = try reader?.optionalChoice("offset") ?? options.offset
            options.offsetScale = try reader?.optionalDouble("offset_scale", in: 0...1e3) ?? options.offsetScale
        }
        if kind.needsReference, !kind.spansBatch { options.tailWeight = try reader?.optionalDouble("ld_alpha", in: 0...1) }
        if kind.takesDivergence, let name = try reader?.optionalString("divergence") {
            guard let divergence = Divergence(name: name, alpha: try reader?.optionalDouble("divergence_alpha", in: -10...10) ?? 0.5) else {
                throw reader!.fault("divergence", "is `\(name.prefix(40))`, which is none of `reverse_kl`, `forward_kl`, `js_divergence`, `alpha_divergence`")
            }
            options.divergence = divergence
        }
        try self.init(kind, beta: beta, options: options)
    }

    /// Every key the kind takes, and what it is.
    fileprivate var settings: [(String, String)] {
        var lines = [("loss", kind.rawValue), ("beta", "\(beta)"), ("nll", "\(nll)")]
        if kind.takesLabelSmoothing { lines.append(("label_smoothing", "\(labelSmoothing)")) }
        if kind == .simpo { lines.append(("simpo_gamma", "\(margin)")) }
        if kind == .online { lines.append(("rescaled", "\(options.isRescaled)")) }
        if kind == .discopop { lines.append(("discopop_tau", "\(options.temperature)")) }
        if kind.needsScores { lines += [("offset", options.offset.rawValue), ("offset_scale", "\(options.offsetScale)")] }
        if kind.takesDivergence { lines.append(("divergence", options.divergence.name)) }
        if case .alpha(let alpha) = options.divergence { lines.append(("divergence_alpha", "\(alpha)")) }
        if let weight = options.tailWeight { lines.append(("ld_alpha", "\(weight)")) }
        return lines
    }
}
