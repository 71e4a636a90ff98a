/// Places buffers that live at different times in the same memory.
///
/// A buffer lives from the first step that names it to the last. Buffers are placed largest first, each at the lowest
/// offset that no buffer alive at the same time covers (greedy by size: Pisarchyk & Lee 2020, arXiv:2001.03288, alg. 3).
package struct MemoryPlan {
    /// In floats; -1 for a buffer no step names.
    package let offsets: [Int]
    package let count: Int

    /// - Parameters:
    ///   - steps: the buffers each step touches, in the order of execution.
    ///   - sizes: floats of each buffer.
    package init(steps: [[Buffer]], sizes: [Int]) {
        var first = [Int](repeating: Int.max, count: sizes.count), last = [Int](repeating: -1, count: sizes.count)
        for (index, buffers) in steps.enumerated() {
            for buffer in buffers {
                first[buffer.id] = min(first[buffer.id], index)
                last[buffer.id] = max(last[buffer.id], index)
            }
        }
        var offsets = [Int](repeating: -1, count: sizes.count)
        var placed: [Int] = []  // by offset
        var count = 0
        let order = sizes.indices.filter { last[$0] >= 0 }.sorted { (sizes[$0], $1) > (sizes[$1], $0) }
        for buffer in order {
            let size = (sizes[buffer] + 15) / 16 * 16  // whole cache lines
            var offset = 0
            for other in placed where first[other] <= last[buffer] && first[buffer] <= last[other] {
                if offset + size <= offsets[other] { break }
                offset = max(offset, offsets[other] + (sizes[other] + 15) / 16 * 16)
            }
            offsets[buffer] = offset
            count = max(count, offset + size)
            placed.insert(buffer, at: placed.firstIndex { offsets[$0] > offset } ?? placed.count)
        }
        self.offsets = offsets
        self.count = count
    }
}
