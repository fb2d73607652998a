import Glibc
import Testing

@testable import Linux

@Suite struct WorkerTests {
  @Test func `Jobs run in their order, and what follows them on the loop`() throws {
    let loop = try EventLoop()
    let worker = try Worker(loop, name: "test")
    let here = pthread_self()
    var results: [Int] = []
    for number in 0..<100 {
      worker.run {
        pthread_equal(pthread_self(), here) == 0 ? number : -1
      } then: { result in
        #expect(pthread_equal(pthread_self(), here) != 0)
        results.append(result)
      }
    }
    #expect(results.isEmpty)
    #expect(loop.run(atMost: 60_000) { results.count == 100 })
    #expect(results == Array(0..<100))
  }

  @Test func `Closing waits for the jobs and calls what follows them`() throws {
    let loop = try EventLoop()
    let worker = try Worker(loop, name: "test")
    var results: [Int] = []
    for number in 0..<10 {
      worker.run {
        usleep(100)
        return number
      } then: {
        results.append($0)
      }
    }
    worker.close()
    #expect(results == Array(0..<10))
    worker.close()
  }

  @Test func `The loop goes on while a job runs`() throws {
    let loop = try EventLoop()
    let worker = try Worker(loop, name: "test")
    let gate = try EventFD()
    let raw = gate.raw
    var isDone = false
    worker.run {
      var wait = pollfd(fd: raw, events: Int16(POLLIN), revents: 0)
      return poll(&wait, 1, 60_000)
    } then: { (_: Int32) in
      isDone = true
    }
    var turns = 0
    loop.after(milliseconds: 1) { turns += 1 }
    #expect(loop.run(atMost: 60_000) { turns == 1 })
    #expect(!isDone)
    gate.signal()
    #expect(loop.run(atMost: 60_000) { isDone })
  }
}

@Suite struct LockFileTests {
  /// The kernel would grant the second lock, and take away both when the second file is closed.
  @Test func `A file this process has locked is refused`() throws {
    let path = "/tmp/switchd-lock-\(getpid())"
    defer { unlink(path) }
    var lock: LockFile? = try LockFile.acquire(path)
    for name in [path, "/tmp/../tmp/switchd-lock-\(getpid())"] {
      let error = #expect(throws: LockError.self) { try LockFile.acquire(name) }
      #expect(error?.description.contains("process \(getpid())") == true)
    }
    #expect(lock != nil)
    lock = nil
    lock = try LockFile.acquire(path)
    #expect(lock?.path == path)
  }
}
