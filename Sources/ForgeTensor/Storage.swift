import CForgeKernels
package import ForgeCore

/// A piece of a device's memory, zeroed when it is made.
@safe package final class Storage {
    package let bytes: Int
    package let device: Device
    let base: UnsafeMutableRawPointer

    package init(bytes: Int, on device: Device) throws(Fault) {
        var memory: UnsafeMutableRawPointer?
        let status = unsafe device.ops.alloc(&memory, bytes, device.stream)
        guard status == FK_OK, let memory = unsafe memory else {
            throw Fault(
                .environment, "compute.memory", "cannot take \(ByteCount(bytes)) of memory", why: "the system has not got it",
                remedy: "take a smaller batch or model", retryable: true)
        }
        self.bytes = bytes
        self.device = device
        unsafe base = memory
        device.storagesTaken += 1
    }

    deinit { unsafe device.ops.release(base, device.stream) }

    /// A copy of the first `count` double-precision numbers.
    package func doubles(_ count: Int) -> [Double] {
        precondition(count * 8 <= bytes, "a storage is read within its bytes")
        return unsafe [Double](unsafeUninitializedCapacity: count) { buffer, filled in
            if count > 0 { _ = unsafe device.ops.copy(buffer.baseAddress!, base, count * 8, device.stream) }
            filled = count
        }
    }
}

/// Row-major extents with a stride between rows; the rows themselves have no gaps.
package struct Layout: Hashable, Sendable {
    package let rows: Int
    package let columns: Int
    /// Elements from one row to the next.
    package let stride: Int

    package init(rows: Int, columns: Int, stride: Int? = nil) {
        self.rows = rows
        self.columns = columns
        self.stride = stride ?? columns
        precondition(rows >= 0 && columns >= 0 && self.stride >= columns, "a layout's rows do not overlap")
    }

    package var count: Int { rows * columns }
    package var isContiguous: Bool { stride == columns || rows <= 1 }
    /// Elements from the first to one past the last.
    package var span: Int { rows == 0 ? 0 : (rows - 1) * stride + columns }
}

/// A view of float32 matrix elements in a storage. Copies share memory.
package struct Tensor {
    package let storage: Storage
    /// In elements.
    package let offset: Int
    package let layout: Layout

    package init(_ storage: Storage, offset: Int = 0, layout: Layout) {
        precondition(offset >= 0 && (offset + layout.span) * 4 <= storage.bytes, "a tensor lies inside its storage")
        self.storage = storage
        self.offset = offset
        self.layout = layout
    }

    package var rows: Int { layout.rows }
    package var columns: Int { layout.columns }
    package var count: Int { layout.count }
    var pointer: UnsafeMutablePointer<Float> { unsafe storage.base.assumingMemoryBound(to: Float.self) + offset }

    /// `count` elements from `start` on, seen as a matrix.
    package func view(from start: Int = 0, rows: Int, columns: Int, stride: Int? = nil) -> Tensor {
        Tensor(storage, offset: offset + start, layout: Layout(rows: rows, columns: columns, stride: stride))
    }

    /// `count` rows from `first` on.
    package func rows(_ first: Int, _ count: Int) -> Tensor {
        precondition(first >= 0 && count >= 0 && first + count <= rows, "rows are taken from those there are")
        return view(from: first * layout.stride, rows: count, columns: columns, stride: layout.stride)
    }

    /// The first `rows` rows.
    package func prefix(_ rows: Int) -> Tensor {
        precondition(rows <= layout.rows, "a prefix is not longer than the whole")
        return Tensor(storage, offset: offset, layout: Layout(rows: rows, columns: columns, stride: layout.stride))
    }

    /// A copy of the elements, row by row.
    package func values() -> [Float] {
        unsafe [Float](unsafeUninitializedCapacity: count) { buffer, filled in
            if layout.isContiguous {
                if count > 0 { _ = unsafe storage.device.ops.copy(buffer.baseAddress!, pointer, count * 4, storage.device.stream) }
            } else {
                for row in 0..<rows {
                    _ = unsafe storage.device.ops.copy(buffer.baseAddress! + row * columns, pointer + row * layout.stride, columns * 4, storage.device.stream)
                }
            }
            filled = count
        }
    }

    /// The elements as the little-endian bytes a file holds.
    package func bytes() -> [UInt8] {
        precondition(layout.isContiguous, "only whole rows have bytes")
        return unsafe [UInt8](unsafeUninitializedCapacity: count * 4) { buffer, filled in
            if count > 0 { _ = unsafe storage.device.ops.copy(buffer.baseAddress!, pointer, count * 4, storage.device.stream) }
            filled = count * 4
        }
    }

    package func write(_ values: [Float]) {
        precondition(layout.isContiguous && values.count == count, "a tensor takes exactly its own count of values")
        guard count > 0 else { return }
        unsafe values.withUnsafeBytes { _ = unsafe storage.device.ops.copy(pointer, $0.baseAddress!, count * 4, storage.device.stream) }
    }

    /// Takes the elements from a file's little-endian bytes.
    package func write(bytes: some Collection<UInt8>) {
        precondition(layout.isContiguous && bytes.count == count * 4, "a tensor takes exactly its own count of bytes")
        guard count > 0 else { return }
        let done: Void? = bytes.withContiguousStorageIfAvailable {
            _ = unsafe storage.device.ops.copy(pointer, $0.baseAddress!, count * 4, storage.device.stream)
        }
        if done == nil { write(bytes: Array(bytes)) }
    }

    /// The same from a span, without a copy between.
    package func write(_ bytes: RawSpan) {
        precondition(layout.isContiguous && bytes.byteCount == count * 4, "a tensor takes exactly its own count of bytes")
        guard count > 0 else { return }
        unsafe bytes.withUnsafeBytes { _ = unsafe storage.device.ops.copy(pointer, $0.baseAddress!, count * 4, storage.device.stream) }
    }

    package func fill(_ value: Float) {
        precondition(layout.isContiguous, "only whole rows are filled")
        _ = unsafe storage.device.ops.fill(pointer, value, Int64(count), storage.device.stream)
    }
}

/// Matrices of one layout, `spacing` elements from the first element of one to that of the next.
package struct TensorGroup {
    package let first: Tensor
    package let count: Int
    package let spacing: Int

    package init(_ first: Tensor, count: Int, spacing: Int) {
        precondition(count >= 1 && spacing >= first.layout.span, "the matrices of a group do not overlap")
        precondition((first.offset + (count - 1) * spacing + first.layout.span) * 4 <= first.storage.bytes, "a group lies inside its storage")
        self.first = first
        self.count = count
        self.spacing = spacing
    }

    package var rows: Int { first.rows }
    package var columns: Int { first.columns }

    package subscript(_ number: Int) -> Tensor {
        precondition((0..<count).contains(number), "a group is read within its count")
        return Tensor(first.storage, offset: first.offset + number * spacing, layout: first.layout)
    }
}

/// A list of 32-bit indices in a device's memory: token ids, positions, cumulative lengths.
package struct Indices {
    package let storage: Storage
    /// In entries.
    private let offset: Int
    package let capacity: Int
    var pointer: UnsafeMutablePointer<Int32> { unsafe storage.base.assumingMemoryBound(to: Int32.self) + offset }

    package init(capacity: Int, on device: Device) throws(Fault) {
        storage = try Storage(bytes: max(capacity, 1) * 4, on: device)
        offset = 0
        self.capacity = capacity
    }

    package init(_ values: [Int32], on device: Device) throws(Fault) {
        try self.init(capacity: values.count, on: device)
        write(values)
    }

    /// Indices in memory that was planned for as many floats.
    package init(in tensor: Tensor) {
        precondition(tensor.layout.isContiguous, "indices lie without gaps")
        storage = tensor.storage
        offset = tensor.offset
        capacity = tensor.count
    }

    /// The entries from `first` on.
    package func from(_ first: Int) -> Indices {
        precondition((0...capacity).contains(first), "indices are read within their capacity")
        return Indices(storage, offset: offset + first, capacity: capacity - first)
    }

    private init(_ storage: Storage, offset: Int, capacity: Int) {
        self.storage = storage
        self.offset = offset
        self.capacity = capacity
    }

    /// Replaces the first `values.count` entries.
    package func write(_ values: [Int32]) {
        precondition(values.count <= capacity, "indices do not outgrow their capacity")
        guard !values.isEmpty else { return }
        unsafe values.withUnsafeBytes { _ = unsafe storage.device.ops.copy(pointer, $0.baseAddress!, values.count * 4, storage.device.stream) }
    }

    package func values(_ count: Int) -> [Int32] {
        precondition(count <= capacity, "indices are read within their capacity")
        return unsafe [Int32](unsafeUninitializedCapacity: count) { buffer, filled in
            if count > 0 { _ = unsafe storage.device.ops.copy(buffer.baseAddress!, pointer, count * 4, storage.device.stream) }
            filled = count
        }
    }
}

extension Device {
    package func tensor(rows: Int, columns: Int) throws(Fault) -> Tensor {
        Tensor(try Storage(bytes: max(rows * columns, 1) * 4, on: self), layout: Layout(rows: rows, columns: columns))
    }

    package func tensor(_ values: [Float], rows: Int, columns: Int) throws(Fault) -> Tensor {
        let tensor = try tensor(rows: rows, columns: columns)
        tensor.write(values)
        return tensor
    }
}
