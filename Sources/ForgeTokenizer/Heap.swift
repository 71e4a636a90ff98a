/// What a `Heap` holds: things with an order in which they leave it.
protocol HeapElement {
    func precedes(_ other: Self) -> Bool
}

/// A binary heap; the element that precedes all others leaves first.
struct Heap<Element: HeapElement> {
    private var elements: [Element] = []

    init() {}

    init(_ elements: [Element]) {
        self.elements = elements
        for i in stride(from: elements.count / 2 - 1, through: 0, by: -1) { siftDown(i) }
    }

    mutating func push(_ element: Element) {
        elements.append(element)
        var child = elements.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard element.precedes(elements[parent]) else { break }
            elements[child] = elements[parent]
            child = parent
        }
        elements[child] = element
    }

    mutating func pop() -> Element? {
        guard let first = elements.first else { return nil }
        let last = elements.removeLast()
        if !elements.isEmpty {
            elements[0] = last
            siftDown(0)
        }
        return first
    }

    private mutating func siftDown(_ start: Int) {
        let element = elements[start]
        var parent = start
        while true {
            var child = parent * 2 + 1
            guard child < elements.count else { break }
            if child + 1 < elements.count, elements[child + 1].precedes(elements[child]) { child += 1 }
            guard elements[child].precedes(element) else { break }
            elements[parent] = elements[child]
            parent = child
        }
        elements[parent] = element
    }
}
