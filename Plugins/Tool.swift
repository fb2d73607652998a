import Foundation
import PackagePlugin

/// Runs a program in the package's directory, with its output on this terminal, and ends as it does.
func runTool(_ context: PluginContext, _ command: [String]) throws {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = command
  process.currentDirectoryURL = context.package.directoryURL
  try process.run()
  process.waitUntilExit()
  if process.terminationStatus != 0 { exit(process.terminationStatus) }
}
