// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ISettlement} from "../interfaces/ISettlement.sol";
import {FIELD, GENESIS_ROOT, MAX_AMOUNT, MAX_IDX} from "../libraries/Limits.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {SlotWords} from "../libraries/SlotWords.sol";
import {Custody} from "./Custody.sol";
import {Roles} from "./Roles.sol";

/// @title The owners' side of the settlement: deposits, requests and payouts
/// @dev What an owner asks for is only recorded here; a slot of a proved batch consumes it. Deposits, withdrawals and
/// keys are consumed independently, and nothing an owner does later can invalidate a batch that was sealed before and
/// is sent before the deadlines: until then pending deposits only grow and requests stay as they are until served.
abstract contract Accounts is Custody, Roles, EIP712, Nonces {
    /// @dev As `Account`, in storage words by what is written together: a deposit or a withdrawal that a batch serves
    /// touches one word, a key two.
    struct Record {
        address owner; // word 0
        uint40 keyDeadline;
        Status status;
        uint256 pendingKey; // word 1
        uint64 pendingDeposit; // word 2
        uint64 cancelling;
        uint40 cancelDeadline;
        uint256 frozenRoot; // word 3
        uint64 pendingWithdrawal; // word 4
        uint64 withdrawable;
        uint40 withdrawalDeadline;
    }

    bytes32 private constant DEPOSIT_INTENT_TYPEHASH = keccak256(
        "DepositIntent(address owner,uint256 amount,uint256 keyCommit,uint256 nonce,uint256 deadline)"
    );

    uint256 private constant MIN_SERVICE_DEADLINE = 1 hours;
    uint256 private constant MAX_SERVICE_DEADLINE = 30 days;

    /// @inheritdoc ISettlement
    uint256 public immutable minFirstDeposit;
    /// @inheritdoc ISettlement
    uint256 public immutable serviceDeadline;

    /// @inheritdoc ISettlement
    uint256 public stateRoot = GENESIS_ROOT;
    /// @inheritdoc ISettlement
    uint256 public nextIdx = 1;
    /// @inheritdoc ISettlement
    mapping(address wallet => uint256 idx) public indexOf;
    mapping(uint256 idx => Record) internal _accounts;

    constructor(uint256 minFirstDeposit_, uint256 serviceDeadline_) EIP712("VIBES Settlement", "1") {
        if (minFirstDeposit_ == 0 || minFirstDeposit_ > MAX_AMOUNT) revert InvalidPolicy();
        if (serviceDeadline_ < MIN_SERVICE_DEADLINE || serviceDeadline_ > MAX_SERVICE_DEADLINE) {
            revert InvalidPolicy();
        }
        minFirstDeposit = minFirstDeposit_;
        serviceDeadline = serviceDeadline_;
    }

    /// @inheritdoc ISettlement
    function deposit(uint256 amount, uint256 keyCommit)
        external
        nonReentrant
        whenNotPaused
        returns (uint256 idx)
    {
        idx = _credit(msg.sender, amount, keyCommit);
        _pull(msg.sender, amount);
    }

    /// @inheritdoc ISettlement
    function depositFor(uint256 idx, uint256 amount) external nonReentrant whenNotPaused {
        _addPending(idx, msg.sender, amount);
        _pull(msg.sender, amount);
    }

    /// @inheritdoc ISettlement
    function depositWithPermit(
        DepositIntent calldata intent,
        bytes calldata intentSignature,
        uint8 permitV,
        bytes32 permitR,
        bytes32 permitS
    ) external nonReentrant whenNotPaused returns (uint256 idx) {
        if (block.timestamp > intent.deadline) revert IntentExpired(intent.deadline);
        bytes32 content = keccak256(
            abi.encode(
                DEPOSIT_INTENT_TYPEHASH,
                intent.owner,
                intent.amount,
                intent.keyCommit,
                _useNonce(intent.owner),
                intent.deadline
            )
        );
        if (!Signatures.isValid(intent.owner, _hashTypedDataV4(content), intentSignature)) {
            revert InvalidIntentSignature();
        }
        idx = _credit(intent.owner, intent.amount, intent.keyCommit);
        // Anyone can present the permit first, which would make this call fail; what counts is the allowance.
        try IERC20Permit(address(_token))
            .permit(intent.owner, address(this), intent.amount, intent.deadline, permitV, permitR, permitS) {}
            catch {}
        _pull(intent.owner, intent.amount);
    }

    /// @inheritdoc ISettlement
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
    ) external nonReentrant whenNotPaused returns (uint256 idx) {
        idx = _credit(from, amount, keyCommit);
        bytes32 nonce = keccak256(abi.encode(keyCommit, salt));
        _pullAuthorized(from, amount, validAfter, validBefore, nonce, v, r, s);
    }

    /// @inheritdoc ISettlement
    function setSessionKey(uint256 keyCommit) external {
        uint256 idx = _callersLiveIdx();
        if (_accounts[idx].pendingKey != 0) revert KeyRequestOutstanding(idx);
        _requestKey(idx, keyCommit);
    }

    /// @inheritdoc ISettlement
    function requestWithdrawal(uint256 amount) external {
        uint256 idx = _callersLiveIdx();
        Record storage entry = _accounts[idx];
        if (amount == 0 || amount > MAX_AMOUNT) revert InvalidAmount(amount);
        if (entry.pendingWithdrawal != 0) revert WithdrawalOutstanding(idx);
        uint256 deadline = block.timestamp + serviceDeadline;
        entry.pendingWithdrawal = uint64(amount);
        entry.withdrawalDeadline = uint40(deadline);
        emit WithdrawalRequested(idx, amount, deadline);
    }

    /// @inheritdoc ISettlement
    function withdraw(uint256 idx) external nonReentrant {
        Record storage entry = _accounts[idx];
        uint256 amount = entry.withdrawable;
        if (amount == 0) revert NothingToPay();
        address payee = entry.owner;
        entry.withdrawable = 0;
        emit Withdrawn(idx, payee, amount);
        _pay(payee, amount);
    }

    /// @inheritdoc ISettlement
    function account(uint256 idx) external view returns (Account memory) {
        Record storage entry = _accounts[idx];
        return Account({
            owner: entry.owner,
            pendingDeposit: entry.pendingDeposit,
            pendingWithdrawal: entry.pendingWithdrawal,
            withdrawable: entry.withdrawable,
            withdrawalDeadline: entry.withdrawalDeadline,
            keyDeadline: entry.keyDeadline,
            pendingKey: entry.pendingKey,
            cancelling: entry.cancelling,
            cancelDeadline: entry.cancelDeadline,
            status: entry.status,
            frozenRoot: entry.frozenRoot
        });
    }

    /// @dev Consumes what a proved slot says it consumed of its owner's deposits and requests.
    function _serve(uint256 w0, uint256 w1) internal {
        uint256 idx = SlotWords.idx(w0);
        Record storage entry = _accounts[idx];
        if (SlotWords.deposit(w0) != 0) _consumeDeposit(entry, idx, SlotWords.deposit(w0));
        if (SlotWords.withdraw(w0) != 0 || SlotWords.drain(w0)) {
            _serveWithdrawal(entry, idx, SlotWords.withdraw(w0), SlotWords.drain(w0));
        }
        if (w1 != 0) {
            if (w1 != entry.pendingKey) revert UnrequestedKey(idx, w1, entry.pendingKey);
            entry.pendingKey = 0;
            entry.keyDeadline = 0;
            entry.status = Status.Open; // the proof put a leaf with this key into the tree
        }
    }

    /// @dev What is left may be less than what was announced to be cancelled: later deposits are not part of that.
    function _consumeDeposit(Record storage entry, uint256 idx, uint256 amount) private {
        (uint256 pending, uint256 cancelling) = (entry.pendingDeposit, entry.cancelling);
        if (amount > pending) revert UnpendingDeposit(idx, amount, pending);
        unchecked {
            pending -= amount;
        }
        entry.pendingDeposit = uint64(pending);
        if (cancelling > pending) entry.cancelling = uint64(pending);
    }

    /// @dev The proof shows that `drain` leaves the account empty: only then is less than the request enough.
    function _serveWithdrawal(Record storage entry, uint256 idx, uint256 amount, bool drain) private {
        uint256 requested = entry.pendingWithdrawal;
        bool served = drain ? requested != 0 && amount <= requested : amount == requested;
        if (!served) revert UnrequestedWithdrawal(idx, amount, requested);
        uint64 withdrawable = entry.withdrawable + uint64(amount);
        (entry.pendingWithdrawal, entry.withdrawable, entry.withdrawalDeadline) = (0, withdrawable, 0);
    }

    /// @dev The caller's account, which must not be frozen or exited.
    function _callersLiveIdx() internal view returns (uint256 idx) {
        idx = indexOf[msg.sender];
        if (idx == 0) revert NotOwner(msg.sender);
        _requireLive(idx);
    }

    /// @dev Opens the owner's account if there is none, then adds to its pending deposit.
    function _credit(address payer, uint256 amount, uint256 keyCommit) private returns (uint256 idx) {
        idx = indexOf[payer];
        if (idx == 0) {
            if (amount < minFirstDeposit) revert DepositTooSmall(amount, minFirstDeposit);
            idx = _open(payer, keyCommit);
        } else if (keyCommit != 0) {
            // A key change has its own request; taken here it would be silently ignored or overwrite one.
            revert InvalidKeyCommit(keyCommit);
        }
        _addPending(idx, payer, amount);
    }

    function _open(address newOwner, uint256 keyCommit) private returns (uint256 idx) {
        idx = nextIdx;
        if (idx > MAX_IDX) revert TreeFull();
        nextIdx = idx + 1;
        indexOf[newOwner] = idx;
        _accounts[idx].owner = newOwner;
        _accounts[idx].status = Status.Unopened;
        emit AccountOpened(idx, newOwner);
        _requestKey(idx, keyCommit);
    }

    function _requestKey(uint256 idx, uint256 keyCommit) private {
        if (keyCommit == 0 || keyCommit >= FIELD) revert InvalidKeyCommit(keyCommit);
        uint256 deadline = block.timestamp + serviceDeadline;
        _accounts[idx].pendingKey = keyCommit;
        _accounts[idx].keyDeadline = uint40(deadline);
        emit SessionKeyRequested(idx, keyCommit, deadline);
    }

    function _addPending(uint256 idx, address from, uint256 amount) private {
        _requireLive(idx);
        if (amount == 0 || amount > MAX_AMOUNT) revert InvalidAmount(amount);
        uint256 pending = _accounts[idx].pendingDeposit + amount;
        if (pending > MAX_AMOUNT) revert InvalidAmount(pending);
        _accounts[idx].pendingDeposit = uint64(pending);
        emit Deposited(idx, from, amount);
    }

    function _requireLive(uint256 idx) private view {
        Status status = _accounts[idx].status;
        // slither-disable-next-line incorrect-equality -- a state, not an amount that somebody could shift
        if (status == Status.None) revert UnknownAccount(idx);
        // slither-disable-next-line incorrect-equality
        if (status == Status.Frozen || status == Status.Exited) revert AccountIsFrozen(idx);
    }
}
