// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Accounts} from "./base/Accounts.sol";
import {Custody} from "./base/Custody.sol";
import {Leaving} from "./base/Leaving.sol";
import {Revenue} from "./base/Revenue.sol";
import {Roles} from "./base/Roles.sol";
import {IPartnerRegistry} from "./interfaces/IPartnerRegistry.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {IVerifier} from "./interfaces/IVerifier.sol";
import {BatchBinding} from "./libraries/BatchBinding.sol";
import {FIELD} from "./libraries/Limits.sol";
import {Proofs} from "./libraries/Proofs.sol";
import {SlotWords} from "./libraries/SlotWords.sol";

/// @title VIBES settlement
/// @dev Batches; what owners do is in Accounts, how they leave in Leaving, how charges are split in Revenue, token
/// moves in Custody, who may do what in Roles. Everything is set by the constructor: there is nothing to initialise,
/// so nothing that somebody else could initialise first.
contract Settlement is Leaving, Revenue {
    /// @notice What a deployment fixes, for good but for guardian, operator and receipt signer.
    /// @param token the VIBES token
    /// @param registry partner registry, of the same owner
    /// @param treasury where fee and treasury share are paid
    /// @param owner TimelockController with a delay of at least 3 * `serviceDeadline` + `EXIT_PERIOD`
    /// @param guardian who may pause deposits and batches
    /// @param operator who settles batches
    /// @param receiptSigner whose signature makes a receipt valid
    /// @param feeBps protocol fee, basis points of gross, 1000 to 2000
    /// @param burnBps burned, basis points of gross
    /// @param poolBps reward pool, basis points of gross; all three and the registry's `maxBps` are at most 10000
    /// @param serviceDeadline seconds within which requests are to be served, an hour to 30 days
    /// @param minFirstDeposit base units, 1 to 2^54 - 1
    /// @param exitVerifier verifier of exit proofs
    /// @param batchVerifiers verifiers of batches, of different sizes
    struct Config {
        address token;
        address registry;
        address treasury;
        address owner;
        address guardian;
        address operator;
        address receiptSigner;
        uint256 feeBps;
        uint256 burnBps;
        uint256 poolBps;
        uint256 serviceDeadline;
        uint256 minFirstDeposit;
        address exitVerifier;
        address[] batchVerifiers;
    }

    /// @inheritdoc ISettlement
    uint256 public immutable domain;

    /// @inheritdoc ISettlement
    mapping(uint256 slots => address) public verifierOf;

    constructor(Config memory config)
        Custody(config.token)
        Roles(config.owner, config.guardian, config.operator, config.receiptSigner, config.serviceDeadline)
        Accounts(config.minFirstDeposit, config.serviceDeadline)
        Leaving(config.exitVerifier)
        Revenue(config.registry, config.treasury, config.feeBps, config.burnBps, config.poolBps)
    {
        // Partners' shares are as much a rule as any other.
        if (IPartnerRegistry(config.registry).owner() != config.owner) revert InvalidPolicy();
        domain = uint256(keccak256(abi.encode(block.chainid, address(this)))) % FIELD;
        for (uint256 i = 0; i < config.batchVerifiers.length; ++i) {
            address verifier = config.batchVerifiers[i];
            if (verifier.code.length == 0) revert InvalidVerifier(verifier);
            // slither-disable-next-line calls-loop -- the deployer's own list
            _registerVerifier(IVerifier(verifier).slots(), verifier);
        }
    }

    /// @inheritdoc ISettlement
    /// @dev No reentrancy guard: only the operator's own transaction gets in, so the token cannot call back.
    function settleBatch(
        Header calldata header,
        uint256[] calldata words,
        uint256[] calldata partnerWords,
        uint256[8] calldata proof
    ) external {
        Control memory control = _control;
        _requireDirect(control.operator);
        if (control.paused) revert IsPaused();
        _requireCanonicalLayout(words, partnerWords);
        if (header.oldRoot != stateRoot) revert StateMismatch(stateRoot, header.oldRoot);
        uint256 number = batchNumber() + 1;
        BatchBinding.Scan memory scan = _verify(number, header, words, proof);
        if (control.anyFrozen) _requireNoneFrozen(words);

        _serveAll(words, scan.requests);
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
        if (verifier.code.length == 0 || IVerifier(verifier).slots() != slots) {
            revert InvalidVerifier(verifier);
        }
        _registerVerifier(slots, verifier);
    }

    /// @dev Users rebuild the tree from the *input of the transaction*, which every node keeps. Words that a contract
    /// (or a delegated account, EIP-7702) made up on the way could be had from execution traces only.
    function _requireDirect(address operator_) private view {
        if (msg.sender != operator_) revert NotOperator(msg.sender);
        if (tx.origin != msg.sender || msg.sender.code.length != 0) revert NotDirectCall();
    }

    /// @dev Users decode the calldata with whatever ABI library they have. Solidity takes arrays from anywhere, many
    /// libraries only from where every encoder puts them: behind the head, one after the other, to the end.
    function _requireCanonicalLayout(uint256[] calldata words, uint256[] calldata partnerWords) private pure {
        uint256 wordsAt;
        uint256 partnerWordsAt;
        assembly ("memory-safe") {
            wordsAt := words.offset
            partnerWordsAt := partnerWords.offset
        }
        // Each array's length stands before it. The head: five words of header, two offsets, eight words of proof.
        uint256 expected = 4 + 15 * 32 + 32;
        bool canonical = wordsAt == expected && partnerWordsAt == wordsAt + 32 * words.length + 32
            && msg.data.length == partnerWordsAt + 32 * partnerWords.length;
        if (!canonical) revert NotCanonicalCalldata();
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
        if (!Proofs.holds(verifier, proof, [header.commitment, r, scan.evaluation])) revert InvalidProof();
    }

    /// @param requests where in `words` the slots are that consume something
    function _serveAll(uint256[] calldata words, uint256[] memory requests) private {
        uint256 count = requests.length;
        for (uint256 i = 0; i < count;) {
            uint256 place = requests[i];
            unchecked {
                _serve(words[place], words[place + 1]);
                ++i;
            }
        }
    }

    /// @dev A size's verifier is never replaced, so that nobody's next batch is judged by another key.
    function _registerVerifier(uint256 slots, address verifier) private {
        if (slots == 0) revert InvalidVerifier(verifier); // the exit circuit's
        if (verifierOf[slots] != address(0)) revert VerifierAlreadyRegistered(slots);
        verifierOf[slots] = verifier;
        emit VerifierRegistered(slots, verifier);
    }
}
