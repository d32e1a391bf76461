// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IVerifier} from "../src/interfaces/IVerifier.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";

/// @dev Accepts or refuses on command, for tests of the accounting; real proofs are in tests/integration.
contract SwitchVerifier is IVerifier {
    uint256 public immutable slots;
    bool public accepts = true;
    bytes32 public expectedInput;

    constructor(uint256 slots_) {
        slots = slots_;
    }

    function setAccepts(bool accepts_) external {
        accepts = accepts_;
    }

    /// @dev From now on accepts these public inputs only.
    function expectInput(uint256[3] calldata input) external {
        expectedInput = keccak256(abi.encode(input));
    }

    function verifyProof(
        uint256[2] calldata,
        uint256[2][2] calldata,
        uint256[2] calldata,
        uint256[3] calldata input
    ) external view returns (bool) {
        if (expectedInput != 0 && keccak256(abi.encode(input)) != expectedInput) {
            return false;
        }
        return accepts;
    }

    function circuitHash() external pure returns (bytes32) {
        return 0;
    }

    function isDevelopment() external pure returns (bool) {
        return true;
    }

    function verifyingKey() external pure returns (uint256[22] memory key) {}
}

/// @dev Accepts everything, after the same calls of the precompiles as a generated verifier.
contract CostlyVerifier is IVerifier {
    uint256 public immutable slots;

    constructor(uint256 slots_) {
        slots = slots_;
    }

    function verifyProof(
        uint256[2] calldata,
        uint256[2][2] calldata,
        uint256[2] calldata,
        uint256[3] calldata input
    ) external view returns (bool) {
        uint256[2] memory sum = [uint256(1), 2];
        for (uint256 i = 0; i < 3; ++i) {
            uint256[4] memory points = [1, 2, input[i], 0];
            bool ok;
            assembly ("memory-safe") {
                ok := staticcall(gas(), 7, points, 0x60, points, 0x40)
                mstore(add(points, 0x40), mload(sum))
                mstore(add(points, 0x60), mload(add(sum, 0x20)))
                ok := and(staticcall(gas(), 6, points, 0x80, sum, 0x40), ok)
            }
            require(ok, "point");
        }
        return _pairs(sum);
    }

    /// @dev Four pairs of the generators, the first G1 point being `point`; their product is not looked at.
    function _pairs(uint256[2] memory point) private view returns (bool ok) {
        uint256[24] memory pairs;
        for (uint256 i = 0; i < 24; i += 6) {
            (pairs[i], pairs[i + 1]) = i == 0 ? (point[0], point[1]) : (uint256(1), uint256(2));
            pairs[i + 2] = 11559732032986387107991004021392285783925812861821192530917403151452391805634;
            pairs[i + 3] = 10857046999023057135944570762232829481370756359578518086990519993285655852781;
            pairs[i + 4] = 4082367875863433681332203403145435568316851327593401208105741076214120093531;
            pairs[i + 5] = 8495653923123431417604973247489272438418190587263600148770280649306958101930;
        }
        assembly ("memory-safe") {
            ok := staticcall(gas(), 8, pairs, 0x300, 0x00, 0x20)
        }
    }

    function circuitHash() external pure returns (bytes32) {
        return 0;
    }

    function isDevelopment() external pure returns (bool) {
        return true;
    }

    function verifyingKey() external pure returns (uint256[22] memory key) {}
}

/// @dev A token without a cap that can keep a part of what is sent or call back into the settlement.
contract UnrulyToken is ERC20 {
    uint256 public keptBps;
    address public target;
    bytes public reentry;

    constructor() ERC20("Unruly", "UNRULY") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function keep(uint256 bps) external {
        keptBps = bps;
    }

    function callBack(address target_, bytes calldata reentry_) external {
        target = target_;
        reentry = reentry_;
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (keptBps != 0 && from != address(0) && to != address(0)) {
            super._update(to, address(0xdead), amount * keptBps / 10_000);
        }
        if (target != address(0)) {
            (bool ok, bytes memory answer) = target.call(reentry);
            if (ok) return;
            assembly {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }
}

/// @dev A contract wallet: a signature of its key counts as its own.
contract ContractWallet is IERC1271 {
    address public immutable key;

    constructor(address key_) {
        key = key_;
    }

    function call(address target, bytes calldata data) external {
        (bool ok,) = target.call(data);
        require(ok, "call failed");
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        return
            ECDSA.recover(digest, signature) == key ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}

/// @dev An attacker's contract wallet: it takes any signature in a simulation, and burns all gas on chain. It knows
/// the one from the other by the gas price, or because its owner turns it in between.
contract TwoFacedWallet is IERC1271 {
    bool private immutable seesPrice;
    bool private turned;

    constructor(bool seesPrice_) {
        seesPrice = seesPrice_;
    }

    function turn(bool turned_) external {
        turned = turned_;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        bool onChain = seesPrice ? tx.gasprice != 0 : turned;
        while (onChain) {}
        return IERC1271.isValidSignature.selector;
    }
}

/// @dev Passes a batch on, as a contract between operator and settlement would.
contract Forwarder {
    function settle(
        ISettlement settlement,
        ISettlement.Header calldata header,
        uint256[] calldata words,
        uint256[] calldata partnerWords,
        uint256[8] calldata proof
    ) external {
        settlement.settleBatch(header, words, partnerWords, proof);
    }
}

/// @dev Settles a batch while it is being made.
contract SettlingConstructor {
    constructor(ISettlement settlement, ISettlement.Header memory header) {
        uint256[8] memory proof;
        settlement.settleBatch(header, new uint256[](8), new uint256[](0), proof);
    }
}
