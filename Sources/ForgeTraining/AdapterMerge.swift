import ForgeCore
import ForgeModel
import ForgeTensor

/// What adapters add to the matrices they lie beside.
struct AdapterMerge {
    private let adapters: Parameters
    /// By the name of the matrix in the model.
    private let places: [String: (layer: Int, target: AdapterConfig.Target)]

    /// - Parameter adapters: of a table of adapters; of any other, nothing is added anywhere.
    init(_ adapters: Parameters) {
        self.adapters = adapters
        var places: [String: (layer: Int, target: AdapterConfig.Target)] = [:]
        let config = adapters.table.config
        if adapters.table.adapters != nil {
            for layer in 0..<config.layers { for target in config.adapterTargets { places[target.module(layer) + ".weight"] = (layer, target) } }
        }
        self.places = places
    }

    /// Nil where no adapter lies.
    func delta(_ entry: ParameterTable.Entry) -> AdapterDelta? {
        guard let config = adapters.table.adapters, let place = places[entry.name], let (down, up) = adapters.adapter(place.layer, place.target) else { return nil }
        return AdapterDelta(down: down.values(), up: up.values(), rank: config.rank, columns: entry.shape[1], scale: config.scale)
    }
}
