// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Accounts} from "./base/Accounts.sol";
import {Custody} from "./base/Custody.sol";
import {Revenue} from "./base/Revenue.sol";
import {IBatchVerifier} from "./interfaces/IBatchVerifier.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {BatchBinding} from "./libraries/BatchBinding.sol";
import {FIELD, GENESIS_ROOT} from "./libraries/Limits.sol";
import {SlotWords} from "./libraries/SlotWords.sol";

/// @title VIBES settlement
/// @dev Batches and roles; what owners do is in Accounts, how charges are split in Revenue, token moves in Custody.
contract Settlement is Accounts, Revenue, Ownable2Step {
    /// @notice What a deployment fixes, for good but for owner, operator and receipt signer.
    /// @param token the VIBES token
    /// @param registry partner registry
    /// @param treasury where fee and treasury share are paid
    /// @param owner who registers verifiers and appoints operator and receipt signer
    /// @param operator who settles batches
    /// @param receiptSigner whose signature makes a receipt valid
    /// @param feeBps protocol fee, basis points of gross, 1000 to 2000
    /// @param burnBps burned, basis points of gross
    /// @param poolBps reward pool, basis points of gross; all three and the registry's `maxBps` are at most 10000
    /// @param serviceDeadline seconds within which requests are to be served, 1 to 30 days
    /// @param minFirstDeposit base units, 1 to 2^54 - 1
    struct Config {
        address token;
        address registry;
        address treasury;
        address owner;
        address operator;
        address receiptSigner;
        uint256 feeBps;
        uint256 burnBps;
        uint256 poolBps;
        uint256 serviceDeadline;
        uint256 minFirstDeposit;
    }

    /// @inheritdoc ISettlement
    uint256 public immutable domain;

    /// @inheritdoc ISettlement
    uint256 public stateRoot = GENESIS_ROOT;
    /// @inheritdoc ISettlement
    address public operator;
    /// @inheritdoc ISettlement
    address public receiptSigner;
    /// @inheritdoc ISettlement
    mapping(uint256 slots => address) public verifierOf;

    constructor(Config memory config)
        Custody(config.token)
        Accounts(config.minFirstDeposit, config.serviceDeadline)
        Revenue(config.registry, config.treasury, config.feeBps, config.burnBps, config.poolBps)
        Ownable(config.owner)
    {
        domain = uint256(keccak256(abi.encode(block.chainid, address(this)))) % FIELD;
        _setOperator(config.operator);
        _setReceiptSigner(config.receiptSigner);
    }

    /// @inheritdoc ISettlement
    /// @dev No reentrancy guard: only the operator's own transaction gets in, so the token cannot call back.
    function settleBatch(
        Header calldata header,
        uint256[] calldata words,
        uint256[] calldata partnerWords,
        uint256[8] calldata proof
    ) external {
        _requireDirectOperator();
        if (header.oldRoot != stateRoot) revert StateMismatch(stateRoot, header.oldRoot);
        uint256 number = batchNumber() + 1;
        BatchBinding.Scan memory scan = _verify(number, header, words, proof);

        if (scan.requests != 0) _serveAll(words);
        uint256 burned = _record(scan.charges, scan.rewards, header.receiptsTotal, partnerWords);
        stateRoot = header.newRoot;

        emit BatchSettled(
            number,
            words.length / 2,
            header.oldRoot,
            header.newRoot,
            header.receiptsRoot,
            scan.charges,
            scan.rewards,
            burned
        );
        if (burned != 0) _burn(burned);
    }

    /// @inheritdoc ISettlement
    function registerVerifier(uint256 slots, address verifier) external onlyOwner {
        if (verifierOf[slots] != address(0)) revert VerifierAlreadyRegistered(slots);
        if (verifier.code.length == 0 || slots == 0 || IBatchVerifier(verifier).slots() != slots) {
            revert InvalidVerifier(verifier);
        }
        verifierOf[slots] = verifier;
        emit VerifierRegistered(slots, verifier);
    }

    /// @inheritdoc ISettlement
    function setOperator(address operator_) external onlyOwner {
        _setOperator(operator_);
    }

    /// @inheritdoc ISettlement
    function setReceiptSigner(address receiptSigner_) external onlyOwner {
        _setReceiptSigner(receiptSigner_);
    }

    /// @dev Users rebuild the tree from the *input of the transaction*, which every node keeps. Words that a contract
    /// (or a delegated account, EIP-7702) made up on the way could be had from execution traces only.
    function _requireDirectOperator() private view {
        if (msg.sender != operator) revert NotOperator(msg.sender);
        if (tx.origin != msg.sender || msg.sender.code.length != 0) revert NotDirectCall();
    }

    /// @dev Checks that the proof holds for this state, this calldata and no other.
    function _verify(
        uint256 number,
        Header calldata header,
        uint256[] calldata words,
        uint256[8] calldata proof
    ) private view returns (BatchBinding.Scan memory scan) {
        address verifier = verifierOf[words.length / 2];
        if (verifier == address(0) || words.length % 2 != 0) revert UnsupportedBatchSize(words.length / 2);
        if (header.newRoot >= FIELD) revert NotCanonical(header.newRoot);
        if (header.commitment >= FIELD) revert NotCanonical(header.commitment);
        uint256 r = BatchBinding.challenge(number, domain, header, words);
        scan = BatchBinding.scan(r, domain, header, words);
        bool proved = IBatchVerifier(verifier)
            .verifyProof(
                [proof[0], proof[1]],
                [[proof[2], proof[3]], [proof[4], proof[5]]],
                [proof[6], proof[7]],
                [header.commitment, r, scan.evaluation]
            );
        if (!proved) revert InvalidProof();
    }

    function _serveAll(uint256[] calldata words) private {
        for (uint256 i = 0; i < words.length; i += 2) {
            (uint256 w0, uint256 w1) = (words[i], words[i + 1]);
            if (SlotWords.servesRequest(w0, w1)) _serve(w0, w1);
        }
    }

    function _setOperator(address operator_) private {
        if (operator_ == address(0)) revert ZeroAddress();
        operator = operator_;
        emit OperatorChanged(operator_);
    }

    function _setReceiptSigner(address receiptSigner_) private {
        if (receiptSigner_ == address(0)) revert ZeroAddress();
        receiptSigner = receiptSigner_;
        emit ReceiptSignerChanged(receiptSigner_);
    }
}
