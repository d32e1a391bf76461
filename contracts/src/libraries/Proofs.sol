// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IVerifier} from "../interfaces/IVerifier.sol";

/// @title Groth16 proofs as they come in calldata
library Proofs {
    /// @param proof [a.x, a.y, b.x1, b.x0, b.y1, b.y0, c.x, c.y]
    function holds(address verifier, uint256[8] calldata proof, uint256[3] memory input)
        internal
        view
        returns (bool)
    {
        return IVerifier(verifier)
            .verifyProof(
                [proof[0], proof[1]],
                [[proof[2], proof[3]], [proof[4], proof[5]]],
                [proof[6], proof[7]],
                input
            );
    }
}
