package import ForgeCore
package import ForgeTensor

/// Memory a tape will hold for some of its steps: `[rows, columns]` float32, or a run of floats that is no matrix.
package struct Buffer: Hashable, Sendable {
    let id: Int
    package init(number: Int) { id = number }
}

/// A matrix of parameters and where its gradient is added.
package struct Weight {
    package let value: Tensor
    /// Nil where the weight does not learn.
    package let gradient: Tensor?

    package init(_ value: Tensor, gradient: Tensor?) {
        precondition(gradient.map { $0.layout == value.layout } ?? true, "a gradient has its weight's shape")
        self.value = value
        self.gradient = gradient
    }
}

/// What is made smaller, as a function of the targets' log-probabilities.
package enum Objective {
    /// Minus their sum, times a weight: 1 / (targets of the whole optimiser step) for their mean.
    case likelihood(weight: Float)
    /// Anything else, given by its derivative by each row's log-probability, which is 0 where a row has no target. Costs the output projection once more.
    case derivative(_ of: ([Float]) throws(Fault) -> [Float])
}

/// What a batch gives to the steps: changes from run to run, while the plan stays.
package struct TapeInputs {
    package let ids: Indices
    package let targets: Indices
    package let positions: Indices
    package let cumulativeLengths: Indices
    /// Rows in use, at most the tape's capacity.
    package var rows = 0
    package var sequences = 0
    package var objective = Objective.likelihood(weight: 0)
    /// Minus the objective's derivative by each row's log-probability, once a run knows it.
    let weights: Tensor
    /// The balancing loss counts this much (`Tape.balance`); 0 turns it off.
    package var balanceWeight: Float = 0

    package init(rows: Int, on device: Device) throws(Fault) {
        ids = try Indices(capacity: rows, on: device)
        targets = try Indices(capacity: rows, on: device)
        positions = try Indices(capacity: rows, on: device)
        cumulativeLengths = try Indices(capacity: rows + 1, on: device)
        weights = try device.tensor(rows: rows, columns: 1)
    }
}

/// A recording of operations. Record, `seal`, then `run` as often as wanted.
package final class Tape {
    package enum Mode: Sendable { case train, evaluate }

    struct Step {
        let name: StaticString
        var buffers: [Buffer]
        /// In a part that is computed again: which buffer stands in for one of the forward pass.
        var standIns: [Buffer: Buffer] = [:]
        let run: (Tape) throws(Fault) -> Void
    }

    /// A part of the recording whose values are computed again going back.
    struct Segment {
        var steps: Range<Int>
        var rules: Range<Int>
        var buffers: Range<Int>
    }

    struct Extent {
        let rows: Int
        let columns: Int
        /// False for workspace whose size does not follow the batch.
        let followsRows: Bool
    }

    package let device: Device
    /// Rows a batch may have.
    package let capacity: Int
    /// Of the matrix products.
    package let precision: Precision
    package var inputs: TapeInputs

    var extents: [Extent] = []
    var forward: [Step] = []
    var backward: [Step] = []
    /// Emits an operation's backward steps; called once, last operation first.
    var rules: [(Tape) -> Void] = []
    private var segments: [Segment] = []
    /// Of the step that runs.
    private var standIns: [Buffer: Buffer] = [:]
    /// The gradient of a value, once somebody gave it one.
    private var gradients: [Buffer: Buffer] = [:]
    /// Buffers that are read after a run: nothing is placed over them.
    private var results: [Buffer] = []
    private(set) var sealed = false
    private var memory: Storage?
    private var offsets: [Int] = []
    /// Bytes of planned memory: known from `seal` on.
    package private(set) var plannedBytes: ByteCount = 0
    /// What the buffers would take without sharing.
    package private(set) var unsharedBytes: ByteCount = 0

    package init(capacity: Int, precision: Precision = .f32, on device: Device) throws(Fault) {
        self.device = device
        self.precision = precision
        self.capacity = capacity
        inputs = try TapeInputs(rows: capacity, on: device)
    }

    // MARK: Recording

    /// A value with a row a token.
    func value(columns: Int) -> Buffer { buffer(rows: capacity, columns: columns, followsRows: true) }

    /// Workspace of `count` floats.
    func workspace(_ count: Int) -> Buffer { buffer(rows: 1, columns: count, followsRows: false) }

    private func buffer(rows: Int, columns: Int, followsRows: Bool) -> Buffer {
        precondition(!sealed, "a sealed tape takes no more operations")
        extents.append(Extent(rows: rows, columns: columns, followsRows: followsRows))
        return Buffer(number: extents.count - 1)
    }

    func record(_ name: StaticString, _ buffers: [Buffer], _ run: @escaping (Tape) throws(Fault) -> Void) {
        forward.append(Step(name: name, buffers: buffers, run: run))
    }

    func recordBackward(_ name: StaticString, _ buffers: [Buffer], _ run: @escaping (Tape) throws(Fault) -> Void) {
        backward.append(Step(name: name, buffers: buffers, run: run))
    }

    func rule(_ emit: @escaping (Tape) -> Void) { rules.append(emit) }

    /// Records a part of which only what other parts read is kept: the rest is computed again, with the same bits, when its gradients are due
    /// (Chen et al. 2016, arXiv:1604.06174). Costs one forward pass of the part, saves its memory.
    package func recomputed<R>(_ record: () -> R) -> R {
        precondition(!sealed, "a sealed tape takes no more operations")
        let (step, rule, buffer) = (forward.count, rules.count, extents.count)
        let result = record()
        segments.append(Segment(steps: step..<forward.count, rules: rule..<rules.count, buffers: buffer..<extents.count))
        return result
    }

    /// Says that a buffer is read after the run.
    package func keep(_ buffer: Buffer) {
        precondition(!sealed, "a sealed tape keeps what it was told to")
        results.append(buffer)
    }

    // MARK: Gradients (while backward steps are emitted)

    /// The gradient that later operations gave `value`.
    /// - Precondition: something used the value: an output nobody reads has no gradient, and recording one is a bug.
    func gradient(of value: Buffer) -> Buffer {
        guard let gradient = gradients[value] else { preconditionFailure("a value on the tape is never used") }
        return gradient
    }

    /// Where to put a gradient of `value`, and whether another is already there to add to.
    func claimGradient(of value: Buffer) -> (buffer: Buffer, accumulate: Bool) {
        if let present = gradients[value] { return (present, true) }
        let fresh = self.value(columns: extents[value.id].columns)
        gradients[value] = fresh
        return (fresh, false)
    }

    /// Says that `buffer` holds the gradient of `value`: for sums, whose terms share one gradient.
    func setGradient(of value: Buffer, to buffer: Buffer) {
        precondition(gradients[value] == nil || gradients[value] == buffer, "a term of a sum is used by the sum alone")
        gradients[value] = buffer
    }

    func hasGradient(_ value: Buffer) -> Bool { gradients[value] != nil }

    // MARK: Planning and running

    /// Emits the backward steps and places every buffer; takes no memory yet, so `plannedBytes` can be shown first.
    package func plan(_ mode: Mode) {
        precondition(!sealed, "a tape is planned once")
        if mode == .train {
            emitBackward()
        } else {
            backward = []
        }
        rules = []
        sealed = true
        let plan = MemoryPlan(steps: (forward + backward).map(\.buffers) + [results], sizes: extents.map { $0.rows * $0.columns })
        offsets = plan.offsets
        plannedBytes = ByteCount(plan.count * 4)
        unsharedBytes = ByteCount(extents.reduce(0) { $0 + $1.rows * $1.columns } * 4)
    }

    private func emitBackward() {
        var end = rules.count
        while end > 0 {
            guard let segment = segments.last(where: { $0.rules.contains(end - 1) }) else {
                rules[end - 1](self)
                end -= 1
                continue
            }
            precondition(segment.rules.upperBound == end, "parts that are computed again do not overlap")
            let begin = backward.count
            for emit in rules[segment.rules].reversed() { emit(self) }
            compute(segment, before: begin)
            end = segment.rules.lowerBound
        }
    }

    /// Puts the part's forward steps before its backward steps, both on stand-ins for the part's buffers.
    private func compute(_ segment: Segment, before begin: Int) {
        var producer: [Buffer: Int] = [:]
        for index in segment.steps { for buffer in forward[index].buffers where producer[buffer] == nil { producer[buffer] = index } }
        // A step is needed if something it is the first to name is read later: the last product of a part usually is not.
        var wanted = Set(backward[begin...].flatMap(\.buffers)), needed: [Int] = []
        for index in segment.steps.reversed() where forward[index].buffers.contains(where: { producer[$0] == index && wanted.contains($0) }) {
            needed.append(index)
            wanted.formUnion(forward[index].buffers)
        }
        var standIns: [Buffer: Buffer] = [:]
        func standIn(_ buffer: Buffer) -> Buffer {
            guard segment.buffers.contains(buffer.id) else { return buffer }
            if let known = standIns[buffer] { return known }
            extents.append(extents[buffer.id])
            let fresh = Buffer(number: extents.count - 1)
            standIns[buffer] = fresh
            return fresh
        }
        let again = needed.reversed().map { forward[$0] }
        for buffer in (again + backward[begin...]).flatMap(\.buffers) { _ = standIn(buffer) }
        backward.insert(contentsOf: again, at: begin)
        for index in backward.indices[begin...] {
            backward[index].buffers = backward[index].buffers.map(standIn)
            backward[index].standIns = standIns
        }
    }

    package func takeMemory() throws(Fault) {
        precondition(sealed, "a tape is planned before it takes memory")
        if memory == nil { memory = try Storage(bytes: Int(plannedBytes.count), on: device) }
    }

    /// Runs every step for the rows in `inputs`.
    package func run(_ mode: Mode) throws(Fault) {
        try takeMemory()
        standIns = [:]
        for step in forward { try step.run(self) }
        guard mode == .train else { return }
        precondition(!backward.isEmpty, "a tape planned for evaluation does not train")
        for step in backward {
            standIns = step.standIns
            try step.run(self)
        }
        standIns = [:]
    }

    /// A buffer as the current batch sees it.
    package subscript(buffer: Buffer) -> Tensor {
        guard let memory else { preconditionFailure("a tape runs before it is read") }
        let extent = extents[buffer.id], place = (standIns[buffer] ?? buffer).id
        return Tensor(memory, offset: offsets[place], layout: Layout(rows: extent.followsRows ? inputs.rows : extent.rows, columns: extent.columns))
    }
}
