// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ISettlement} from "../interfaces/ISettlement.sol";
import {FIELD, MAX_AMOUNT, MAX_IDX} from "../libraries/Limits.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {SlotWords} from "../libraries/SlotWords.sol";
import {Custody} from "./Custody.sol";

/// @title The owners' side of the settlement: deposits, requests and payouts
/// @dev What an owner asks for is only recorded here; a slot of a proved batch consumes it. Deposits, withdrawals and
/// keys are consumed independently, and nothing an owner does later can invalidate a batch that was sealed before:
/// pending deposits only grow, requests stay as they are until served.
abstract contract Accounts is Custody, EIP712, Nonces {
    bytes32 private constant DEPOSIT_INTENT_TYPEHASH = keccak256(
        "DepositIntent(address owner,uint256 amount,uint256 keyCommit,uint256 nonce,uint256 deadline)"
    );

    uint256 private constant MAX_SERVICE_DEADLINE = 30 days;

    /// @inheritdoc ISettlement
    uint256 public immutable minFirstDeposit;
    /// @inheritdoc ISettlement
    uint256 public immutable serviceDeadline;

    /// @inheritdoc ISettlement
    uint256 public nextIdx = 1;
    /// @inheritdoc ISettlement
    mapping(address owner => uint256 idx) public indexOf;
    mapping(uint256 idx => Account) private _accounts;

    constructor(uint256 minFirstDeposit_, uint256 serviceDeadline_) EIP712("VIBES Settlement", "1") {
        if (minFirstDeposit_ == 0 || minFirstDeposit_ > MAX_AMOUNT) revert InvalidPolicy();
        if (serviceDeadline_ == 0 || serviceDeadline_ > MAX_SERVICE_DEADLINE) revert InvalidPolicy();
        minFirstDeposit = minFirstDeposit_;
        serviceDeadline = serviceDeadline_;
    }

    /// @inheritdoc ISettlement
    function deposit(uint256 amount, uint256 keyCommit) external nonReentrant returns (uint256 idx) {
        idx = _credit(msg.sender, amount, keyCommit);
        _pull(msg.sender, amount);
    }

    /// @inheritdoc ISettlement
    function depositFor(uint256 idx, uint256 amount) external nonReentrant {
        address owner = _accounts[idx].owner;
        if (owner == address(0)) revert UnknownAccount(idx);
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
    ) external nonReentrant returns (uint256 idx) {
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
    ) external nonReentrant returns (uint256 idx) {
        idx = _credit(from, amount, keyCommit);
        bytes32 nonce = keccak256(abi.encode(keyCommit, salt));
        _pullAuthorized(from, amount, validAfter, validBefore, nonce, v, r, s);
    }

    /// @inheritdoc ISettlement
    function setSessionKey(uint256 keyCommit) external {
        uint256 idx = _callersIdx();
        if (_accounts[idx].pendingKey != 0) revert KeyRequestOutstanding(idx);
        _requestKey(idx, keyCommit);
    }

    /// @inheritdoc ISettlement
    function requestWithdrawal(uint256 amount) external {
        uint256 idx = _callersIdx();
        Account storage entry = _accounts[idx];
        if (amount == 0 || amount > MAX_AMOUNT) revert InvalidAmount(amount);
        if (entry.pendingWithdrawal != 0) revert WithdrawalOutstanding(idx);
        uint256 deadline = block.timestamp + serviceDeadline;
        entry.pendingWithdrawal = uint64(amount);
        entry.withdrawalDeadline = uint40(deadline);
        emit WithdrawalRequested(idx, amount, deadline);
    }

    /// @inheritdoc ISettlement
    function withdraw(uint256 idx) external nonReentrant {
        Account storage entry = _accounts[idx];
        uint256 amount = entry.withdrawable;
        if (amount == 0) revert NothingToPay();
        address owner = entry.owner;
        entry.withdrawable = 0;
        emit Withdrawn(idx, owner, amount);
        _pay(owner, amount);
    }

    /// @inheritdoc ISettlement
    function account(uint256 idx) external view returns (Account memory) {
        return _accounts[idx];
    }

    /// @dev Consumes what a proved slot says it consumed of its owner's deposits and requests.
    function _serve(uint256 w0, uint256 w1) internal {
        uint256 idx = SlotWords.idx(w0);
        Account storage entry = _accounts[idx];
        uint256 consumed = SlotWords.deposit(w0);
        if (consumed != 0) {
            uint256 pending = entry.pendingDeposit;
            if (consumed > pending) revert UnpendingDeposit(idx, consumed, pending);
            entry.pendingDeposit = uint64(pending - consumed);
        }
        if (SlotWords.withdraw(w0) != 0 || SlotWords.drain(w0)) {
            _serveWithdrawal(entry, idx, SlotWords.withdraw(w0), SlotWords.drain(w0));
        }
        if (w1 != 0) {
            if (w1 != entry.pendingKey) revert UnrequestedKey(idx, w1, entry.pendingKey);
            entry.pendingKey = 0;
            entry.keyDeadline = 0;
        }
    }

    /// @dev The proof shows that `drain` leaves the account empty: only then is less than the request enough.
    function _serveWithdrawal(Account storage entry, uint256 idx, uint256 amount, bool drain) private {
        uint256 requested = entry.pendingWithdrawal;
        bool served = drain ? requested != 0 && amount <= requested : amount == requested;
        if (!served) revert UnrequestedWithdrawal(idx, amount, requested);
        entry.pendingWithdrawal = 0;
        entry.withdrawalDeadline = 0;
        entry.withdrawable += uint64(amount);
    }

    /// @dev Opens the owner's account if there is none, then adds to its pending deposit.
    function _credit(address owner, uint256 amount, uint256 keyCommit) private returns (uint256 idx) {
        idx = indexOf[owner];
        if (idx == 0) {
            if (amount < minFirstDeposit) revert DepositTooSmall(amount, minFirstDeposit);
            idx = _open(owner, keyCommit);
        } else if (keyCommit != 0) {
            // A key change has its own request; taken here it would be silently ignored or overwrite one.
            revert InvalidKeyCommit(keyCommit);
        }
        _addPending(idx, owner, amount);
    }

    function _open(address owner, uint256 keyCommit) private returns (uint256 idx) {
        idx = nextIdx;
        if (idx > MAX_IDX) revert TreeFull();
        nextIdx = idx + 1;
        indexOf[owner] = idx;
        _accounts[idx].owner = owner;
        emit AccountOpened(idx, owner);
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
        if (amount == 0 || amount > MAX_AMOUNT) revert InvalidAmount(amount);
        uint256 pending = _accounts[idx].pendingDeposit + amount;
        if (pending > MAX_AMOUNT) revert InvalidAmount(pending);
        _accounts[idx].pendingDeposit = uint64(pending);
        emit Deposited(idx, from, amount);
    }

    function _callersIdx() private view returns (uint256 idx) {
        idx = indexOf[msg.sender];
        if (idx == 0) revert NotOwner(msg.sender);
    }
}
