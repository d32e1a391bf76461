// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title VIBES settlement: deposits in, proved batches of charges, withdrawals and partner payouts out
/// @notice Owners can always leave: what is not served within `serviceDeadline` lets anyone freeze the account, and a
/// frozen account is paid out by a proof against the root of that moment, whatever the operator does.
/// @notice Amounts are base units of the VIBES token (6 decimals, 1 VIBES = 1_000_000 base units) and below 2^54
/// wherever they enter a slot. The account tree, the slot layout and the proof statement are in docs/protocol.md.
interface ISettlement {
    /// @notice What a batch claims about the state and the receipts behind it.
    /// @param oldRoot account tree root that the batch starts from; must be the present `stateRoot`
    /// @param newRoot account tree root after the batch, below the scalar field
    /// @param commitment `C`: Poseidon chain over the batch's words, a public input of the proof
    /// @param receiptsRoot root of the keccak Merkle-sum tree over the batch's receipts
    /// @param receiptsTotal sum of that tree, base units; must equal the sum of the slots' charges
    struct Header {
        uint256 oldRoot;
        uint256 newRoot;
        uint256 commitment;
        bytes32 receiptsRoot;
        uint256 receiptsTotal;
    }

    /// @notice Where an account is in its life.
    /// None: no such account; Unopened: has an owner, its leaf is not in the tree yet; Open: batches may change it;
    /// Frozen: its leaf stays as it is, for the owner to leave with; Exited: paid out, for good.
    enum Status {
        None,
        Unopened,
        Open,
        Frozen,
        Exited
    }

    /// @notice The contract's own record of an account; balance and spent live in the tree only.
    /// @param owner wallet that controls withdrawals and keys
    /// @param pendingDeposit deposited, not yet consumed by a slot, base units
    /// @param pendingWithdrawal requested and not yet served, base units
    /// @param withdrawable served by a batch, not yet paid out, base units
    /// @param withdrawalDeadline unix seconds by which `pendingWithdrawal` is to be served, 0 if none
    /// @param keyDeadline unix seconds by which `pendingKey` is to be served, 0 if none
    /// @param pendingKey requested session key commitment, 0 if none
    /// @param cancelling part of `pendingDeposit` that is announced to be cancelled, base units
    /// @param cancelDeadline unix seconds after which `cancelling` can be taken back, 0 if none
    /// @param status where the account is in its life
    /// @param frozenRoot account tree root when the account was frozen, 0 if it was not
    struct Account {
        address owner;
        uint64 pendingDeposit;
        uint64 pendingWithdrawal;
        uint64 withdrawable;
        uint40 withdrawalDeadline;
        uint40 keyDeadline;
        uint256 pendingKey;
        uint64 cancelling;
        uint40 cancelDeadline;
        Status status;
        uint256 frozenRoot;
    }

    /// @notice A partner's running account.
    /// @param gross all charges settled for the partner, base units
    /// @param checkpointGross `gross` when `bps` last changed
    /// @param accrued share earned up to the checkpoint, base units
    /// @param paid claimed so far, base units
    /// @param bps share of gross since the checkpoint, basis points
    struct PartnerAccount {
        uint128 gross;
        uint128 checkpointGross;
        uint128 accrued;
        uint128 paid;
        uint16 bps;
    }

    /// @notice Cumulative totals since deployment, base units.
    /// @param gross settled charges
    /// @param burned part of gross burned
    /// @param partners part of gross owed to partners (paid or not)
    /// @param fee part of gross that is the protocol fee
    /// @param pool part of gross that fed the reward pool
    /// @param treasury the rest of gross
    /// @param rewards paid out of the pool into accounts
    /// @param feePaid fee claimed
    /// @param treasuryPaid treasury claimed
    struct Totals {
        uint256 gross;
        uint256 burned;
        uint256 partners;
        uint256 fee;
        uint256 pool;
        uint256 treasury;
        uint256 rewards;
        uint256 feePaid;
        uint256 treasuryPaid;
    }

    /// @notice A wallet's EIP-712 order to a relayer: deposit exactly this, for exactly this key.
    /// @param owner wallet that pays and owns the account
    /// @param amount base units
    /// @param keyCommit session key commitment for a first deposit, 0 for a later one
    /// @param deadline unix seconds after which neither the intent nor the permit holds
    struct DepositIntent {
        address owner;
        uint256 amount;
        uint256 keyCommit;
        uint256 deadline;
    }

    /// @notice An account was opened and its index assigned for good.
    event AccountOpened(uint256 indexed idx, address indexed owner);
    /// @notice `amount` base units were credited to the account's pending deposit.
    event Deposited(uint256 indexed idx, address indexed from, uint256 amount);
    /// @notice The owner asked for a session key commitment (also emitted when the account is opened).
    event SessionKeyRequested(uint256 indexed idx, uint256 keyCommit, uint256 deadline);
    /// @notice The owner asked to withdraw `amount` base units.
    event WithdrawalRequested(uint256 indexed idx, uint256 amount, uint256 deadline);
    /// @notice A batch was proved and applied; its slots and partner words are in the transaction's calldata.
    event BatchSettled(
        uint256 indexed batchNumber,
        uint256 slots,
        uint256 oldRoot,
        uint256 newRoot,
        bytes32 receiptsRoot,
        uint256 gross,
        uint256 rewards,
        uint256 burned
    );
    /// @notice A processed withdrawal was paid to the owner.
    event Withdrawn(uint256 indexed idx, address indexed owner, uint256 amount);
    /// @notice The owner will take `amount` base units of pending deposit back after `deadline`.
    event DepositCancelAnnounced(uint256 indexed idx, uint256 amount, uint256 deadline);
    /// @notice `amount` base units of pending deposit became withdrawable.
    event DepositCancelled(uint256 indexed idx, uint256 amount);
    /// @notice A request was not served in time: the account's leaf in `root` stays as it is. The pending deposit
    /// became withdrawable, requests are void.
    event AccountFrozen(uint256 indexed idx, uint256 root, uint256 refundedDeposit, uint256 voidedWithdrawal);
    /// @notice A frozen account's balance was paid to the owner.
    event AccountExited(uint256 indexed idx, address indexed owner, uint256 amount);
    /// @notice Deposits and batches are refused from here on; whatever lets owners leave goes on.
    event Paused();
    event Unpaused();
    /// @notice From here on a partner's share counts at `bps`; what came before stays at its old share.
    event PartnerTermsApplied(
        uint256 indexed partnerId, uint256 bps, uint256 checkpointGross, uint256 accrued
    );
    /// @notice A partner's payout was sent.
    event PartnerClaimed(uint256 indexed partnerId, address indexed to, uint256 amount);
    /// @notice The protocol fee was sent to the treasury address.
    event FeeClaimed(address indexed to, uint256 amount);
    /// @notice The treasury share was sent to the treasury address.
    event TreasuryClaimed(address indexed to, uint256 amount);
    /// @notice The verifier for batches of `slots` slots was fixed.
    event VerifierRegistered(uint256 indexed slots, address verifier);
    /// @notice The address that may settle batches changed.
    event OperatorChanged(address operator);
    /// @notice The address whose signature makes a receipt valid changed.
    event ReceiptSignerChanged(address receiptSigner);
    /// @notice The address that may pause changed.
    event GuardianChanged(address guardian);

    /// @notice A zero amount, or one of 2^54 base units or more.
    error InvalidAmount(uint256 amount);
    /// @notice First deposits have a minimum.
    error DepositTooSmall(uint256 amount, uint256 minimum);
    /// @notice A commitment that is not a field element, is zero where one is needed, or given where none belongs.
    error InvalidKeyCommit(uint256 keyCommit);
    /// @notice All 2^24 - 1 indices are taken.
    error TreeFull();
    error UnknownAccount(uint256 idx);
    error NotOwner(address caller);
    error NotOperator(address caller);
    error NotGuardian(address caller);
    /// @notice Only the timelock changes who may do what.
    error NotTimelock(address caller);
    /// @notice Deposits and batches are paused; everything that lets owners leave is not.
    error IsPaused();
    /// @notice Frozen and exited accounts take no deposits, requests or slots.
    error AccountIsFrozen(uint256 idx);
    error AccountNotFrozen(uint256 idx);
    /// @notice The account's leaf is not in the tree: `announceCancelDeposit` is its way out.
    error AccountNotOpened(uint256 idx);
    /// @notice The account has no request whose deadline is over.
    error NothingOverdue(uint256 idx);
    /// @notice One announced cancellation at a time.
    error CancelOutstanding(uint256 idx);
    error CancelNotDue(uint256 idx, uint256 deadline);
    /// @notice Batches come straight from an externally owned operator account, so that calldata is always public.
    error NotDirectCall();
    /// @notice One withdrawal request at a time.
    error WithdrawalOutstanding(uint256 idx);
    /// @notice One key request at a time.
    error KeyRequestOutstanding(uint256 idx);
    error NothingToPay();
    error IntentExpired(uint256 deadline);
    error InvalidIntentSignature();
    /// @notice The token moved less or more than it was told to.
    error UnexpectedTransfer(uint256 expected, uint256 actual);
    error StateMismatch(uint256 expected, uint256 actual);
    /// @notice No verifier is registered for this number of slots.
    error UnsupportedBatchSize(uint256 slots);
    error VerifierAlreadyRegistered(uint256 slots);
    error InvalidVerifier(address verifier);
    /// @notice A public input, root or word is not canonical (w0 >= 2^241, or a field element >= p).
    error NotCanonical(uint256 value);
    /// @notice The call's arrays are not where every ABI encoder puts them.
    error NotCanonicalCalldata();
    error InvalidProof();
    error UnpendingDeposit(uint256 idx, uint256 consumed, uint256 pending);
    /// @notice A withdrawal or drain that the owner did not ask for, or only a part of it without `drain`.
    error UnrequestedWithdrawal(uint256 idx, uint256 amount, uint256 requested);
    error UnrequestedKey(uint256 idx, uint256 keyCommit, uint256 requested);
    error UnknownPartner(uint256 partnerId);
    /// @notice Partner words must have strictly rising ids and a gross above zero.
    error InvalidPartnerWord(uint256 word);
    /// @notice Partner gross, slot charges and receipts total must be one number.
    error GrossMismatch(uint256 charges, uint256 partners, uint256 receipts);
    error RewardsExceedPool(uint256 rewards, uint256 pool);
    error InvalidPolicy();
    /// @notice Changes must take longer than leaving does: three times `serviceDeadline`, and `EXIT_PERIOD`, seconds.
    error TimelockTooShort(uint256 delay, uint256 minimum);
    error ZeroAddress();

    /// @notice Deposits `amount` for the caller; opens the caller's account on the first call.
    /// @param amount base units, 1 to 2^54 - 1; at least `minFirstDeposit` on the first call
    /// @param keyCommit Poseidon(key_x, key_y) on the first call, 0 later (use `setSessionKey`)
    /// @return idx the account's index in the tree
    function deposit(uint256 amount, uint256 keyCommit) external returns (uint256 idx);

    /// @notice Adds `amount` from the caller to an account that exists, whoever owns it.
    function depositFor(uint256 idx, uint256 amount) external;

    /// @notice Relayed deposit: the owner signed the intent (EIP-712, nonce `nonces(owner)`) and an EIP-2612 permit
    /// for the same amount and deadline. A permit that was used already is tolerated if the allowance is there.
    function depositWithPermit(
        DepositIntent calldata intent,
        bytes calldata intentSignature,
        uint8 permitV,
        bytes32 permitR,
        bytes32 permitS
    ) external returns (uint256 idx);

    /// @notice Relayed deposit by EIP-3009: the authorisation's nonce is keccak256(abi.encode(keyCommit, salt)), so a
    /// relayer cannot attach another key.
    function depositWithAuthorization(
        address from,
        uint256 amount,
        uint256 keyCommit,
        bytes32 salt,
        uint256 validAfter,
        uint256 validBefore,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (uint256 idx);

    /// @notice Asks for a new session key; a slot of a later batch puts it into the tree.
    function setSessionKey(uint256 keyCommit) external;

    /// @notice Asks to withdraw up to `amount`; served in full, or with everything the account has (`drain`).
    function requestWithdrawal(uint256 amount) external;

    /// @notice Announces that the caller takes the present pending deposit back. It takes effect after
    /// `serviceDeadline` seconds, so that no sealed batch breaks; what batches consume until then stays consumed.
    function announceCancelDeposit() external;

    /// @notice Makes an announced pending deposit withdrawable, once its deadline is over; anyone may call.
    function cancelDeposit(uint256 idx) external;

    /// @notice Freezes an open account with a withdrawal or key request that is past its deadline; anyone may call.
    /// Voids the requests, makes the pending deposit withdrawable and keeps the present root for `exit`.
    function freeze(uint256 idx) external;

    /// @notice Pays a frozen account's balance to its owner; anyone may call.
    /// @param balance the balance of the account's leaf in the root at the freeze, base units
    /// @param proof Groth16 proof of (frozenRoot, idx, balance), in the order of `settleBatch`
    function exit(uint256 idx, uint256 balance, uint256[8] calldata proof) external;

    /// @notice Applies a proved batch. Operator only, called directly.
    /// @param header roots, commitment and receipts of the batch
    /// @param words two per slot, w0 and w1, padded with zeros to a registered size
    /// @param partnerWords partner id << 64 | gross, ids strictly rising
    /// @param proof Groth16 proof [a.x, a.y, b.x1, b.x0, b.y1, b.y0, c.x, c.y]
    function settleBatch(
        Header calldata header,
        uint256[] calldata words,
        uint256[] calldata partnerWords,
        uint256[8] calldata proof
    ) external;

    /// @notice Pays a processed withdrawal to the account's owner; anyone may call.
    function withdraw(uint256 idx) external;

    /// @notice Pays floor(gross share) - paid to the partner's payout address; anyone may call.
    function claimPartner(uint256 partnerId) external;

    /// @notice Pays the unclaimed protocol fee to the treasury address; anyone may call.
    function claimFee() external;

    /// @notice Pays the unclaimed treasury share, less a rounding reserve, to the treasury address; anyone may call.
    function claimTreasury() external;

    /// @notice Takes over the partner's share as the registry has it now, for charges settled from here on; anyone
    /// may call. The first batch that names a partner does the same.
    function applyTerms(uint256 partnerId) external;

    /// @notice Stops deposits and batches. Guardian only.
    function pause() external;

    /// @notice Lets deposits and batches go on. Guardian only.
    function unpause() external;

    /// @notice Fixes the verifier for batches of `slots` slots, once. Owner only.
    function registerVerifier(uint256 slots, address verifier) external;

    /// @notice Changes the address that may settle batches. Owner only.
    function setOperator(address newOperator) external;

    /// @notice Changes the address whose signature makes a receipt valid. Owner only.
    function setReceiptSigner(address newReceiptSigner) external;

    /// @notice Changes the address that may pause. Owner only.
    function setGuardian(address newGuardian) external;

    /// @notice Seconds after a request's deadline within which `freeze` and `exit` can surely be sent.
    function EXIT_PERIOD() external view returns (uint256);
    /// @notice The timelock: a TimelockController whose delay is at least 3 * `serviceDeadline` + `EXIT_PERIOD`.
    function owner() external view returns (address);
    function guardian() external view returns (address);
    function paused() external view returns (bool);

    function token() external view returns (address);
    function registry() external view returns (address);
    function treasury() external view returns (address);
    function operator() external view returns (address);
    function receiptSigner() external view returns (address);
    /// @notice keccak256(abi.encode(chainid, this)) mod p: what session keys sign over.
    function domain() external view returns (uint256);
    function stateRoot() external view returns (uint256);
    /// @notice Number of batches settled; the first batch is number 1.
    function batchNumber() external view returns (uint256);
    /// @notice The index that the next new account will get (the first is 1).
    function nextIdx() external view returns (uint256);
    /// @notice The caller-owned account's index, 0 if none.
    function indexOf(address wallet) external view returns (uint256 idx);
    function account(uint256 idx) external view returns (Account memory);
    function partnerAccount(uint256 partnerId) external view returns (PartnerAccount memory);
    function partnerClaimable(uint256 partnerId) external view returns (uint256);
    function totals() external view returns (Totals memory);
    function verifierOf(uint256 slots) external view returns (address);
    /// @notice The verifier of exit proofs, fixed for good.
    function exitVerifier() external view returns (address);
    /// @notice True once any account was frozen.
    function anyFrozen() external view returns (bool);
    function feeBps() external view returns (uint256);
    function burnBps() external view returns (uint256);
    function poolBps() external view returns (uint256);
    function minFirstDeposit() external view returns (uint256);
    /// @notice Seconds within which a withdrawal or key request is to be served.
    function serviceDeadline() external view returns (uint256);
}
