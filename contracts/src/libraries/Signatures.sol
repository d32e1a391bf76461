// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Signatures of wallets, whether keys or contracts
/// @dev OpenZeppelin's SignatureChecker, less the part (ERC-7913) that needs MCOPY, an opcode after Shanghai.
library Signatures {
    /// @dev True if `signer` signed `digest`: by ERC-1271 if it has code, by ECDSA (no malleable s) if not.
    function isValid(address signer, bytes32 digest, bytes memory signature) internal view returns (bool) {
        if (signer.code.length == 0) {
            // slither-disable-next-line unused-return -- the third part only details the failure
            (address recovered, ECDSA.RecoverError failure,) = ECDSA.tryRecover(digest, signature);
            return failure == ECDSA.RecoverError.NoError && recovered == signer;
        }
        (bool answered, bytes memory answer) =
            signer.staticcall(abi.encodeCall(IERC1271.isValidSignature, (digest, signature)));
        return answered && answer.length >= 32
            && abi.decode(answer, (bytes32)) == bytes32(IERC1271.isValidSignature.selector);
    }
}
