import Glibc

extension Recipe {
    /// The learning rate's factor at a step counted from 0, of the given shape: linear warm-up to 1, then constant, a cosine, or constant
    /// with a final decay by 1 - √x (warm-up, stable, decay: Hu et al. 2024, arXiv:2404.06395, with the shape of Hägele et al. 2024).
    package func rateFactor(step: Int) -> Double {
        if step < warmupSteps { return Double(step + 1) / Double(warmupSteps + 1) }
        switch schedule {
        case .constant: return 1
        case .cosine:
            let x = Double(step - warmupSteps) / Double(max(steps - warmupSteps, 1))
            return finalShare + 0.5 * (1 + cos(.pi * min(x, 1))) * (1 - finalShare)
        case .wsd:
            let decaySteps = (Double(steps) * decayShare).rounded()
            let into = Double(step) - (Double(steps) - decaySteps)
            guard into > 0, decaySteps > 0 else { return 1 }
            return max(finalShare, 1 - (1 - finalShare) * (into / decaySteps).squareRoot())
        }
    }
}
