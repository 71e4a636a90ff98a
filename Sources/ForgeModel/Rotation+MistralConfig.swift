package import ForgeCore
package import ForgeTensor
import Glibc

extension Rotation {
    /// angle = position · frequency, frequency = theta^(-2i/d) unless YaRN stretches it. The angle is formed in float32 exactly as torch forms it, and its cosine
    /// rounded once from double. Of latent attention, queries begin with pairs that grow where others turn: their angle is zero.
    package init(_ config: MistralConfig, positions: Int, on device: Device) throws(Fault) {
        let turned = config.latent?.turnedDim ?? config.headDim, plain = config.headDim - turned, magnitude = Float(config.yarn?.attentionFactor ?? 1)
        let frequencies = Yarn.frequencies(config.yarn, dimensions: turned, theta: config.ropeTheta)
        func turns(after still: Int = 0, _ growth: (Int) -> Float) throws(Fault) -> Turns {
            let pairs = still + frequencies.count
            var cosines = [Float](repeating: 0, count: positions * pairs), sines = cosines
            for position in 0..<positions {
                let growth = growth(position), scale = magnitude * growth
                for i in 0..<still { cosines[position * pairs + i] = growth }
                for (i, frequency) in frequencies.enumerated() {
                    let angle = Double(Float(position) * frequency), at = position * pairs + still + i
                    cosines[at] = Float(cos(angle)) * scale
                    sines[at] = Float(sin(angle)) * scale
                }
            }
            return Turns(cosines: try device.tensor(cosines, rows: positions, columns: pairs), sines: try device.tensor(sines, rows: positions, columns: pairs))
        }
        var queries: Turns?
        if config.queryScale != nil || plain > 0 { queries = try turns(after: plain / 2) { config.queryScale?.factor(at: $0) ?? 1 } }
        self.init(keys: try turns { _ in 1 }, queries: queries)
    }
}
