// swift-tools-version: 6.2
// The drawing of the system: one target a noun, arrows point down (docs/decisions/0001-modules.md).
import PackageDescription

let house: [SwiftSetting] = [
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
]

// Kernels are optimised in debug builds too, and never reassociate: results are part of the contract.
let kernels: [CSetting] = [
    .unsafeFlags(["-O3", "-fno-fast-math", "-ffp-contract=off", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fno-math-errno"])
]

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: house)
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, path: "Sources/Programs/\(name)", swiftSettings: house)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, resources: resources, swiftSettings: house)
}

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")

let package = Package(
    name: "forge",
    dependencies: [
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1", traits: []),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0"),
    ],
    targets: [
        // C: kernels, system calls Swift cannot spell, and maps of the system's libraries.
        .target(name: "CForgeBlocks", cSettings: kernels),
        .target(name: "CForgeKernels", cSettings: kernels),
        .target(name: "CForgeOS", cSettings: [.unsafeFlags(["-std=gnu11", "-Wall", "-Wextra", "-Werror"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),

        // 0-1: values, the machine, keys, permission.
        library("ForgeCore"),
        library("ForgeGate", ["ForgeCore"]),
        library("ForgeOS", ["ForgeCore", "CForgeOS", "CSystemd"]),
        library("ForgeCrypto", ["ForgeCore", "ForgeOS", "COpenSSL"]),
        library("ForgeConfig", ["ForgeCore", "CYAML"]),
        library("ForgeTensor", ["ForgeCore", "CForgeKernels"]),
        library("ForgeBlocks", ["CForgeBlocks"]),

        // 2 learn
        library("ForgeTokenizer", ["ForgeCore"]),
        library("ForgeData", ["ForgeCore", "ForgeCrypto", "ForgeOS", "ForgeTokenizer"]),
        library("ForgeObjective", ["ForgeCore"]),
        library("ForgeAutograd", ["ForgeCore", "ForgeTensor"]),
        library("ForgeModel", ["ForgeCore", "ForgeTensor"]),
        library("ForgeQuant", ["ForgeCore"]),
        library("ForgeNN", ["ForgeCore", "ForgeTensor", "ForgeAutograd", "ForgeModel"]),
        library(
            "ForgeTraining",
            [
                "ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeConfig", "ForgeTensor", "ForgeAutograd", "ForgeModel", "ForgeNN", "ForgeData",
                "ForgeTokenizer", "ForgeArtifact", "ForgeInference", "ForgeObjective", "ForgeQuant",
            ]),

        // 2 speak
        library("ForgeTemplate", ["ForgeCore"]),
        library("ForgeInference", ["ForgeCore", "ForgeTensor", "ForgeModel", "ForgeTemplate", "ForgeTokenizer"]),

        // 2 keep
        library("ForgeArtifact", ["ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeBlocks"]),
        library("ForgeCheckpoint", ["ForgeCore", "ForgeOS", "ForgeArtifact", "ForgeModel", "ForgeBlocks"]),
        library("ForgeGGUF", ["ForgeCore", "ForgeOS", "ForgeArtifact", "ForgeModel", "ForgeTokenizer", "ForgeBlocks"]),
        library("ForgeVault", ["ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeArtifact", "ForgeGate"]),
        library("ForgeCatalog", ["ForgeCore", "ForgeOS", "ForgeArtifact", "ForgeGate", "CSQLite"]),
        library("ForgeAudit", ["ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeGate"]),

        // 2 guard
        library("ForgePolicy", ["ForgeCore", "ForgeGate", "ForgeCrypto"]),

        // 3: one transport, and what each daemon says over it.
        library(
            "ForgeHTTP",
            [
                "ForgeCore", "ForgeOS", nioCore, nioPosix, nioHTTP1,
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
            ]),
        library("AdminAPI", ["ForgeCore", "ForgeGate", "ForgeHTTP"]),
        library("RegistryAPI", ["ForgeCore", "ForgeGate", "ForgeHTTP", "ForgeArtifact", "ForgeAudit", "ForgeCrypto", "ForgeOS"]),
        library("TrainerAPI", ["ForgeCore", "ForgeGate", "ForgeHTTP"]),
        library("ServeAPI", ["ForgeCore", "ForgeCrypto", "ForgeGate", "ForgeHTTP"]),

        // 4: the daemons' insides.
        library(
            "ForgeDaemon",
            ["ForgeCore", "ForgeOS", "ForgeConfig", "ForgeGate", "ForgeHTTP", .product(name: "Logging", package: "swift-log")]),
        library(
            "ForgeAuthority", ["ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeGate", "ForgePolicy", "ForgeHTTP", "AdminAPI", "RegistryAPI", "ForgeAudit", "ForgeDaemon"]),
        library(
            "AdminService",
            [
                "ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeConfig", "ForgeGate", "ForgePolicy", "ForgeHTTP", "ForgeAudit", "AdminAPI", "RegistryAPI",
                "ForgeDaemon", "ForgeAuthority",
            ]),
        library(
            "RegistryService",
            [
                "ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeConfig", "ForgeGate", "ForgePolicy", "ForgeHTTP", "ForgeVault", "ForgeCatalog", "ForgeAudit",
                "ForgeArtifact", "RegistryAPI", "AdminAPI", "ForgeDaemon", "ForgeAuthority",
            ]),
        library(
            "TrainerService",
            [
                "ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeConfig", "ForgeGate", "ForgeHTTP", "ForgeArtifact", "ForgeTraining", "ForgeData", "ForgeTokenizer",
                "ForgeModel", "ForgeTensor", "ForgeAudit", "TrainerAPI", "RegistryAPI", "AdminAPI", "ForgeDaemon", "ForgeAuthority",
            ]),
        library(
            "ServeService",
            [
                "ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeConfig", "ForgeGate", "ForgeHTTP", "ForgeArtifact", "ForgeInference", "ForgeModel", "ForgeTensor",
                "ForgeTokenizer", "ForgeAudit", "ServeAPI", "RegistryAPI", "AdminAPI", "ForgeDaemon", "ForgeAuthority",
            ]),
        library(
            "ForgeCLI",
            [
                "ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeConfig", "ForgeGate", "ForgeHTTP", "ForgeArtifact", "ForgeAudit", "ForgeCheckpoint", "ForgeGGUF", "ForgeModel",
                "ForgeInference", "ForgeTensor", "ForgeTokenizer", "AdminAPI", "RegistryAPI", "TrainerAPI", "ServeAPI", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),

        // 5: a `main.swift` each.
        program("forged", ["TrainerService", "ForgeDaemon", "ForgeCore", "ForgeGate"]),
        program("forge-registry", ["RegistryService", "ForgeDaemon", "ForgeCore", "ForgeGate"]),
        program("forge-serve", ["ServeService", "ForgeDaemon", "ForgeCore", "ForgeGate"]),
        program("forge-admin", ["AdminService", "ForgeDaemon", "ForgeCore", "ForgeGate"]),
        program("forge", ["ForgeCLI"]),
        // The independent verifier: it shares no line with what it checks.
        program("forge-verify", ["COpenSSL", "CSQLite"]),
        // Tasks and verdicts for the examples; not packaged.
        program("forge-quant", ["ForgeQuant", "ForgeCore", "ForgeOS"]),
        // Figures for `make bench`; not packaged.
        program(
            "forge-bench",
            [
                "ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeGate", "ForgePolicy", "ForgeAuthority", "AdminAPI", "ForgeAudit", "ForgeCatalog", "RegistryService", "ForgeTokenizer",
                "ForgeVault", "ForgeHTTP", "ForgeTensor", "ForgeModel", "ForgeNN", "ForgeInference", "ForgeArtifact", "ForgeBlocks", "ForgeCheckpoint", .product(name: "Logging", package: "swift-log"),
            ]),

        tests("ForgeCoreTests", ["ForgeCore"]),
        tests(
            "ForgeAuthorityTests",
            ["ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeGate", "ForgePolicy", "ForgeHTTP", "ForgeAudit", "AdminAPI", "RegistryAPI", "ForgeAuthority"]),
        tests("ForgeCLITests", ["ForgeCore", "ForgeOS", "ForgeCrypto", "AdminAPI", "ForgeCLI"]),
        tests("ForgeConfigTests", ["ForgeCore", "ForgeConfig"]),
        tests("ForgeGateTests", ["ForgeCore", "ForgeGate"]),
        tests(
            "AdminServiceTests",
            [
                "AdminAPI", "AdminService", "ForgeAudit", "ForgeAuthority", "ForgeCore", "ForgeCrypto", "ForgeGate", "ForgeHTTP", "ForgeOS", "ForgePolicy", "RegistryAPI",
                .product(name: "Logging", package: "swift-log"),
            ]),
        tests("ForgePolicyTests", ["ForgeCore", "ForgeGate", "ForgePolicy", "ForgeCrypto", "ForgeOS"]),
        tests("ForgeAuditTests", ["ForgeAudit", "ForgeCore", "ForgeCrypto", "ForgeGate", "ForgeOS"]),
        tests("ForgeCatalogTests", ["ForgeCatalog", "ForgeCore", "ForgeOS"]),
        tests(
            "RegistryLogTests",
            [
                "RegistryService", "RegistryAPI", "ForgeAudit", "ForgeCatalog", "ForgeCore", "ForgeCrypto", "ForgeGate", "ForgeHTTP", "ForgeOS", "ForgeVault",
                "forge-registry", "forge-verify", .product(name: "Logging", package: "swift-log"),
            ]),
        tests(
            "RegistryServiceTests",
            [
                "RegistryService", "RegistryAPI", "AdminAPI", "ForgeAudit", "ForgeCatalog", "ForgeCore", "ForgeCrypto", "ForgeGate", "ForgeHTTP", "ForgeOS", "ForgeVault",
                "ForgeArtifact", "forge-registry", "forge-verify", .product(name: "Logging", package: "swift-log"),
            ]),
        tests("ForgeOSTests", ["ForgeCore", "ForgeOS"]),
        tests("ForgeHTTPTests", ["ForgeCore", "ForgeOS", "ForgeHTTP"]),
        // The real programs, driven by the real command line.
        tests("ApplianceTests", ["ForgeCore", "ForgeOS", "ForgeHTTP", "ForgeArtifact", "ForgeCheckpoint", "ForgeModel", "ForgeNN", "ForgeTensor", "ForgeTokenizer", "ForgeTraining", "forge", "forged", "forge-registry", "forge-serve", "forge-admin", "forge-verify"]),
        tests("ForgeDaemonTests", ["ForgeCore", "ForgeOS", "ForgeConfig", "ForgeGate", "ForgeHTTP", "ForgeDaemon"]),
        tests("ForgeCryptoTests", ["ForgeCore", "ForgeOS", "ForgeCrypto"]),
        tests("ForgeArtifactTests", ["ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeArtifact"]),
        tests("ForgeBlocksTests", ["ForgeCore", "ForgeOS", "ForgeArtifact", "ForgeBlocks"]),
        tests("ForgeGGUFTests", ["ForgeCore", "ForgeOS", "ForgeArtifact", "ForgeBlocks", "ForgeGGUF", "ForgeModel", "ForgeNN", "ForgeTensor", "ForgeTokenizer"]),
        tests("ForgeCheckpointTests", ["ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeArtifact", "ForgeModel", "ForgeNN", "ForgeTensor", "ForgeCheckpoint"]),
        tests("ForgeVaultTests", ["ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeArtifact", "ForgeGate", "ForgeVault"]),
        tests("ForgeTemplateTests", ["ForgeCore", "ForgeTemplate"]),
        tests("ForgeTokenizerTests", ["ForgeCore", "ForgeTokenizer"]),
        tests("ForgeQuantTests", ["ForgeCore", "ForgeOS", "ForgeQuant", "forge-quant"]),
        tests("ForgeDataTests", ["ForgeCore", "ForgeCrypto", "ForgeOS", "ForgeTokenizer", "ForgeData"]),
        tests("ForgeObjectiveTests", ["ForgeCore", "ForgeObjective"]),
        tests("ForgeInferenceTests", ["ForgeCore", "ForgeInference", "ForgeModel", "ForgeNN", "ForgeTensor", "ForgeTokenizer"]),
        tests(
            "ServeServiceTests",
            [
                "ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeGate", "ForgeHTTP", "ForgeArtifact", "ForgeAudit", "ForgeAuthority", "ForgeInference", "ForgeModel",
                "ForgeTensor", "ForgeTokenizer", "RegistryAPI", "ServeAPI", "ServeService", .product(name: "Logging", package: "swift-log"),
            ]),
        tests(
            "TrainerServiceTests",
            [
                "ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeGate", "ForgeHTTP", "ForgeArtifact", "ForgeAudit", "ForgeAuthority", "RegistryAPI", "TrainerAPI", "TrainerService", "forged",
                .product(name: "Logging", package: "swift-log"),
            ]),
        tests("ForgeTensorTests", ["ForgeCore", "ForgeTensor"]),
        tests("ForgeNNTests", ["ForgeCore", "ForgeTensor", "ForgeAutograd", "ForgeModel", "ForgeNN", "ForgeArtifact"]),
        tests("ForgeTrainingTests", ["ForgeCore", "ForgeOS", "ForgeCrypto", "ForgeTensor", "ForgeModel", "ForgeNN", "ForgeTokenizer", "ForgeData", "ForgeArtifact", "ForgeObjective", "ForgeQuant", "ForgeTraining"]),
    ]
)
