// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Groth16 verifier of one circuit with three public inputs
interface IVerifier {
    /// @notice True if the proof holds for the public inputs, each below the scalar field: (C, r, y) of a batch,
    /// (root, idx, balance) of an exit.
    function verifyProof(
        uint256[2] calldata a,
        uint256[2][2] calldata b,
        uint256[2] calldata c,
        uint256[3] calldata input
    ) external view returns (bool);

    /// @notice Slots per batch of the circuit behind this key, 0 for the exit circuit.
    function slots() external view returns (uint256);

    /// @notice sha256 of the circuit's r1cs: ties the key to a circuit.
    function circuitHash() external view returns (bytes32);

    /// @notice True for a single-party development key; such a verifier refuses every chain but 31337 and 31338.
    function isDevelopment() external view returns (bool);

    /// @notice The verifying key as alpha(x, y), beta, gamma, delta (x1, x0, y1, y0 each), IC[0..3] (x, y each).
    function verifyingKey() external view returns (uint256[22] memory);
}
