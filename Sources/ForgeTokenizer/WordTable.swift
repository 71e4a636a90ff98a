/// Distinct words with a number each, in the order first seen. Words lie end to end in one arena.
struct WordTable {
    private var slots: [Int32]
    private var hashes: [UInt64] = []
    private var ends: [Int] = []
    private(set) var arena: [UInt8] = []
    private var mask: Int

    init(capacity: Int = 1 << 12) {
        var size = 16
        while size < capacity * 2 { size <<= 1 }
        slots = Array(repeating: -1, count: size)
        mask = size - 1
    }

    var count: Int { ends.count }

    func range(of word: Int) -> Range<Int> { (word == 0 ? 0 : ends[word - 1])..<ends[word] }

    /// The number of the word `bytes[start..<end]`; a new word gets the next one, and `isNew` says so.
    @inline(__always)
    mutating func number(of bytes: [UInt8], _ start: Int, _ end: Int) -> (word: Int, isNew: Bool) {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for i in start..<end { hash = (hash ^ UInt64(bytes[i])) &* 0x0000_0100_0000_01b3 }
        hash ^= hash >> 29
        var at = Int(truncatingIfNeeded: hash) & mask
        while true {
            let word = Int(slots[at])
            if word < 0 { break }
            if hashes[word] == hash, matches(word, bytes, start, end) { return (word, false) }
            at = (at + 1) & mask
        }
        slots[at] = Int32(ends.count)
        hashes.append(hash)
        arena.append(contentsOf: bytes[start..<end])
        ends.append(arena.count)
        if ends.count * 2 > slots.count { grow() }
        return (ends.count - 1, true)
    }

    @inline(__always)
    private func matches(_ word: Int, _ bytes: [UInt8], _ start: Int, _ end: Int) -> Bool {
        let from = word == 0 ? 0 : ends[word - 1]
        guard ends[word] - from == end - start else { return false }
        for i in 0..<(end - start) where arena[from + i] != bytes[start + i] { return false }
        return true
    }

    private mutating func grow() {
        slots = Array(repeating: -1, count: slots.count * 2)
        mask = slots.count - 1
        for (word, hash) in hashes.enumerated() {
            var at = Int(truncatingIfNeeded: hash) & mask
            while slots[at] >= 0 { at = (at + 1) & mask }
            slots[at] = Int32(word)
        }
    }
}
