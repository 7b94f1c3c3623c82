// swift-tools-version: 6.2
import PackageDescription

// For the modules of the hot path only: it calls small functions of the core module from the operators and the engine, and
// pays 4x for a call that is not inlined. Exclusive access is proved at compile time or by an actor; its checks at run time, which
// cost a fifth of query 1, stay in debug builds. Without the flags on the state table query 2 takes 2 to 5 % more; the modules that do
// not have them showed no difference in queries 1 to 5 (median of nine, CPU seconds).
//
// SwiftPM refuses a package whose libraries have such flags as a dependency with a version, so a checkout that another package has made is
// built without them.
let isDependency = Context.packageDirectory.split(separator: "/").dropLast().last == "checkouts"
let hot: [SwiftSetting] =
  isDependency
  ? [] : [.unsafeFlags(["-cross-module-optimization", "-enforce-exclusivity=unchecked"], .when(configuration: .release))]

let package = Package(
  name: "weir",
  products: [
    .executable(name: "weir", targets: ["weir"]),
    .library(name: "WeirTesting", targets: ["WeirTesting"]),
  ],
  dependencies: [
    // Each with its reason in Sources/WeirCommands/Weir.docc/Dependencies.md
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
    .package(url: "https://github.com/swiftlang/swift-docc-plugin", exact: "1.5.0"),
  ],
  targets: [
    // app
    .executableTarget(
      name: "weir",
      dependencies: [
        "WeirCommands", "WeirAdmin", "WeirLoad", "WeirReport", "WeirMockKinesis", "WeirConfiguration", "WeirPlan", "WeirOperators",
        "WeirCore", "CWeirSystem",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    // service
    .target(
      name: "WeirCommands",
      dependencies: [
        "WeirLoad", "WeirCapture", "WeirInfer", "WeirObserve", "WeirRuntime", "WeirReport", "WeirConfiguration", "WeirPlan", "WeirEngine",
        "WeirKafka",
        "WeirKafkaSettings", "WeirMockKinesis", "WeirLocal", "WeirParquet", "WeirProtocol", "WeirOperators", "WeirCore",
      ]),
    .target(name: "WeirInfer", dependencies: ["WeirOperators", "WeirCore"]),  // weir infer
    .target(name: "WeirMockKinesis", dependencies: ["WeirOperators", "WeirCore"]),  // weir mock-kinesis
    // The HTTP server of the admin endpoints: the one place that knows its library.
    .target(name: "WeirAdmin", dependencies: ["WeirObserve", "WeirPlan", "WeirCore", "CMicroHTTPD"]),
    .target(
      name: "WeirLoad",
      dependencies: [
        "WeirCapture", "WeirRuntime", "WeirReport", "WeirPlan", "WeirEngine", "WeirKafka", "WeirKinesis", "WeirLocal", "WeirParquet",
        "WeirProtocol", "WeirOperators", "WeirCore",
      ]),
    .target(name: "WeirCapture", dependencies: ["WeirReport", "WeirEngine", "WeirLocal", "WeirCore"]),
    .target(
      name: "WeirObserve",
      dependencies: ["WeirRuntime", "WeirReport", "WeirPlan", "WeirEngine", "WeirCore"]),
    // The wiring: the one place below the commands that names adapters.
    .target(
      name: "WeirRuntime",
      dependencies: [
        "WeirReport", "WeirConfiguration", "WeirPlan", "WeirEngine", "WeirLMDB", "WeirLMDBSettings", "WeirRedis", "WeirRedisSettings",
        "WeirDynamoDB", "WeirDynamoDBSettings", "WeirGlue", "WeirGlueSettings", "WeirKafka",
        "WeirKafkaSettings", "WeirKinesis", "WeirKinesisSettings", "WeirRegistry",
        "WeirLocal", "WeirS3", "WeirS3Settings", "WeirAWS", "WeirDelta", "WeirProtocol", "WeirOperators", "WeirCore", "CWeirSystem",
      ]),
    .target(name: "WeirReport", dependencies: ["WeirEngine", "WeirProtocol", "WeirCore"]),
    // Plans and their files: without clients of other systems, so that tests of plans link none.
    .target(
      name: "WeirConfiguration",
      dependencies: [
        "WeirPlan", "WeirEngine", "WeirKafkaSettings", "WeirKinesisSettings", "WeirLMDBSettings", "WeirRedisSettings",
        "WeirDynamoDBSettings", "WeirS3Settings", "WeirGlueSettings", "WeirLocal", "WeirDelta", "WeirOperators", "WeirCore",
        .product(name: "Yams", package: "Yams"),
      ]),
    .target(name: "WeirPlan", dependencies: ["WeirEngine", "WeirS3Settings", "WeirLocal", "WeirOperators", "WeirCore"]),
    // engine
    .target(
      name: "WeirEngine", dependencies: ["WeirParquet", "WeirProtocol", "WeirOperators", "WeirCore"],
      swiftSettings: hot),
    // adapters
    .target(name: "WeirLocal", dependencies: ["WeirCore", "CZstd", "CZlib", "CWeirScan", "CWeirSystem"], swiftSettings: hot),
    .target(name: "WeirKafka", dependencies: ["WeirKafkaSettings", "WeirCore", "CKafka"]),
    .target(name: "WeirKafkaSettings", dependencies: ["WeirCore"]),  // without the client
    .target(name: "WeirKinesis", dependencies: ["WeirKinesisSettings", "WeirAWS", "WeirOperators", "WeirCore"]),
    .target(name: "WeirKinesisSettings", dependencies: ["WeirCore"]),  // without the client
    .target(name: "WeirRegistry", dependencies: ["WeirCore", "CCurl"]),
    .target(name: "WeirLMDBSettings", dependencies: ["WeirCore"]),  // without the client
    .target(name: "WeirRedisSettings", dependencies: ["WeirCore"]),  // without the client
    .target(name: "WeirRedis", dependencies: ["WeirRedisSettings", "WeirCore", "CWeirTLS"]),
    .target(name: "WeirAWS", dependencies: ["WeirCore", "CWeirHash", "CWeirSystem", "CCurl"]),  // requests to AWS
    .target(name: "WeirS3", dependencies: ["WeirS3Settings", "WeirAWS", "WeirCore"]),
    .target(name: "WeirS3Settings", dependencies: ["WeirCore"]),  // without the client
    .target(name: "WeirLMDB", dependencies: ["WeirCore", "CLMDB"], swiftSettings: hot),
    .target(name: "WeirDynamoDBSettings", dependencies: ["WeirCore"]),  // without the client
    .target(name: "WeirDynamoDB", dependencies: ["WeirAWS", "WeirCore"]),
    .target(name: "WeirGlueSettings", dependencies: ["WeirCore"]),  // without the client
    .target(name: "WeirGlue", dependencies: ["WeirGlueSettings", "WeirAWS", "WeirCore"]),
    // formats
    .target(name: "WeirParquet", dependencies: ["WeirCore", "CWeirPrefetch", "CZstd", "CSnappy", "CZlib"], swiftSettings: hot),
    .target(name: "WeirDelta", dependencies: ["WeirParquet", "WeirProtocol", "WeirCore"]),
    // operators and protocols: pure
    .target(name: "WeirOperators", dependencies: ["WeirCore", "CWeirScan", "CWeirPrefetch", "CWeirSystem"], swiftSettings: hot),
    .target(name: "WeirProtocol", dependencies: ["WeirCore"]),
    // core
    .target(name: "WeirCore", dependencies: ["CWeirHash", "CWeirSystem"], swiftSettings: hot),
    // C of our own, by purpose
    .target(name: "CWeirHash", linkerSettings: [.linkedLibrary("crypto")]),
    .target(name: "CWeirScan"),
    .target(name: "CWeirPrefetch"),
    .target(name: "CWeirSystem"),
    .target(name: "CWeirTLS", linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
    .systemLibrary(name: "CKafka", pkgConfig: "rdkafka", providers: [.apt(["librdkafka-dev"])]),
    .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(name: "CMicroHTTPD", pkgConfig: "libmicrohttpd", providers: [.apt(["libmicrohttpd-dev"])]),
    .systemLibrary(name: "CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CSnappy", providers: [.apt(["libsnappy-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    // beside: no product imports them
    .target(name: "WeirTesting", dependencies: ["WeirProtocol", "WeirCore"]),  // test doubles
    .executableTarget(  // Scripts/bench live; not shipped
      name: "weir-livebench",
      dependencies: ["WeirTesting", "WeirConfiguration", "WeirDelta", "WeirLocal", "WeirEngine", "WeirOperators", "WeirCore"]),
    .executableTarget(  // Scripts/bench micro; not shipped
      name: "weir-microbench",
      dependencies: ["WeirTesting", "WeirParquet", "WeirLMDB", "WeirLocal", "WeirOperators", "WeirCore", "CWeirScan", "CLMDB", "CZstd"],
      swiftSettings: hot),
    .executableTarget(  // Tests/EndToEnd/aws_client_equals_botocore.py; not shipped
      name: "weir-awsprobe", dependencies: ["WeirS3", "WeirS3Settings", "WeirAWS", "WeirCore", "CWeirSystem"]),
    .executableTarget(  // Scripts/prove fuzz; not shipped
      name: "weir-fuzz",
      dependencies: [
        "WeirTesting", "WeirObserve", "WeirRuntime", "WeirConfiguration", "WeirPlan", "WeirRegistry", "WeirKafka", "WeirKafkaSettings",
        "WeirLMDB", "WeirLocal", "WeirEngine", "WeirDelta", "WeirParquet",
        "WeirProtocol", "WeirOperators", "WeirCore",
      ]),
    .target(
      name: "WeirSimulation",
      dependencies: [
        "WeirTesting", "WeirConfiguration", "WeirEngine", "WeirDelta", "WeirParquet", "WeirProtocol", "WeirOperators", "WeirCore",
      ],
      swiftSettings: hot),
    // Scripts/simulate; not shipped
    .executableTarget(
      name: "weir-simulate", dependencies: ["WeirSimulation", .product(name: "ArgumentParser", package: "swift-argument-parser")]),
    // The scan for ARM on the processor at hand, by SIMDe's NEON; for the tests only.
    .target(name: "CScanNEON", dependencies: ["CWeirScan"], path: "Tests/CScanNEON"),
    .testTarget(
      name: "WeirOperatorsTests", dependencies: ["WeirTesting", "WeirOperators", "WeirCore", "CWeirScan", "CScanNEON"],
      exclude: ["JSONTestSuite"]),
    .testTarget(name: "WeirProtocolTests", dependencies: ["WeirTesting", "WeirProtocol", "WeirCore"], exclude: ["Format1"]),
    .testTarget(
      name: "WeirSimulationTests",
      dependencies: ["WeirSimulation", "WeirTesting", "WeirConfiguration", "WeirEngine", "WeirDelta", "WeirCore"]),
    .testTarget(name: "WeirParquetTests", dependencies: ["WeirTesting", "WeirParquet", "WeirCore"]),
    .testTarget(name: "WeirDeltaTests", dependencies: ["WeirTesting", "WeirDelta", "WeirParquet", "WeirCore"]),
    .testTarget(name: "WeirLocalTests", dependencies: ["WeirTesting", "WeirLocal", "WeirLMDB", "WeirCore"]),
    .testTarget(name: "WeirRedisTests", dependencies: ["WeirTesting", "WeirRedis", "WeirRedisSettings", "WeirCore"]),
    .testTarget(
      name: "WeirS3Tests",
      dependencies: ["WeirTesting", "WeirS3", "WeirS3Settings", "WeirAWS", "WeirLocal", "WeirCore"]),
    .testTarget(
      name: "WeirDynamoDBTests", dependencies: ["WeirTesting", "WeirDynamoDB", "WeirDynamoDBSettings", "WeirAWS", "WeirCore"]),
    .testTarget(name: "WeirGlueTests", dependencies: ["WeirTesting", "WeirGlue", "WeirGlueSettings", "WeirEngine", "WeirAWS", "WeirCore"]),
    .testTarget(name: "WeirAWSTests", dependencies: ["WeirTesting", "WeirAWS", "WeirCore"], exclude: ["sigv4.json"]),
    .testTarget(
      name: "WeirKinesisTests", dependencies: ["WeirTesting", "WeirKinesis", "WeirKinesisSettings", "WeirAWS", "WeirOperators", "WeirCore"]),
    .testTarget(name: "WeirKafkaTests", dependencies: ["WeirTesting", "WeirKafka", "WeirKafkaSettings", "WeirCore"]),
    .testTarget(
      name: "WeirEngineTests",
      dependencies: [
        "WeirTesting", "WeirEngine", "WeirConfiguration", "WeirPlan", "WeirLocal", "WeirDelta", "WeirParquet", "WeirOperators",
        "WeirProtocol", "WeirCore", .product(name: "Yams", package: "Yams"),
      ]),
    .testTarget(
      name: "WeirPlanTests",
      dependencies: [
        "WeirTesting", "WeirInfer", "WeirConfiguration", "WeirPlan", "WeirKafkaSettings", "WeirKinesisSettings", "WeirLMDBSettings",
        "WeirRedisSettings", "WeirDynamoDBSettings", "WeirLocal",
        "WeirEngine", "WeirOperators", "WeirCore",
        .product(name: "Yams", package: "Yams"),
      ]),
    .testTarget(
      name: "WeirServiceTests",
      dependencies: [
        "WeirTesting", "WeirCommands", "WeirAdmin", "WeirCapture", "WeirLoad", "WeirObserve", "WeirRuntime", "WeirReport",
        "WeirConfiguration",
        "WeirPlan", "WeirKafka",
        "WeirKafkaSettings", "WeirRegistry", "WeirLMDB", "WeirLMDBSettings", "WeirLocal", "WeirEngine", "WeirOperators", "WeirProtocol",
        "WeirCore",
      ]),
  ],
  swiftLanguageModes: [.v6]
)

// A build with a sanitizer takes long, and shares nothing with the others: Scripts/prove asks for the tests of some modules only.
if let named = Context.environment["WEIR_TESTS"]?.split(separator: ",").map(String.init) {
  package.targets.removeAll { $0.type == .test && !named.contains($0.name) }
}

// Tests import internal declarations. With -enable-testing in release too, one release build serves the command and the tests; queries 1
// to 5 take as long with it as without (ratios of CPU seconds 0.97 to 1.01, median of seven). The tests' own code is not optimised: that
// takes longer than it saves.
if !isDependency {
  for target in package.targets {
    let isTest = target.type == .test
    guard isTest || target.type == .regular && target.name.hasPrefix("Weir") else { continue }
    target.swiftSettings =
      (target.swiftSettings ?? []) + [.unsafeFlags([isTest ? "-Onone" : "-enable-testing"], .when(configuration: .release))]
  }
}
