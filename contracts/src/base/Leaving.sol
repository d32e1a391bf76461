// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISettlement} from "../interfaces/ISettlement.sol";
import {IVerifier} from "../interfaces/IVerifier.sol";
import {FrozenAccounts} from "../libraries/FrozenAccounts.sol";
import {Proofs} from "../libraries/Proofs.sol";
import {Accounts} from "./Accounts.sol";

/// @title Ways out that need nobody's consent
/// @dev A pending deposit is taken back by announcing it; an account in the tree is frozen once a request is overdue,
/// and its leaf in the root of that moment is what it is paid by. None of this can be paused.
abstract contract Leaving is Accounts {
    using FrozenAccounts for FrozenAccounts.Set;

    /// @inheritdoc ISettlement
    address public immutable exitVerifier;

    FrozenAccounts.Set private _frozen;

    constructor(address exitVerifier_) {
        if (exitVerifier_.code.length == 0 || IVerifier(exitVerifier_).slots() != 0) {
            revert InvalidVerifier(exitVerifier_);
        }
        exitVerifier = exitVerifier_;
    }

    /// @inheritdoc ISettlement
    function announceCancelDeposit() external {
        uint256 idx = _callersLiveIdx();
        Record storage entry = _accounts[idx];
        if (entry.cancelling != 0) revert CancelOutstanding(idx);
        uint256 amount = entry.pendingDeposit;
        if (amount == 0) revert NothingToPay();
        uint256 deadline = block.timestamp + serviceDeadline;
        entry.cancelling = uint64(amount);
        entry.cancelDeadline = uint40(deadline);
        emit DepositCancelAnnounced(idx, amount, deadline);
    }

    /// @inheritdoc ISettlement
    function cancelDeposit(uint256 idx) external {
        Record storage entry = _accounts[idx];
        uint256 amount = entry.cancelling; // never more than the pending deposit
        if (amount == 0) revert NothingToPay();
        if (block.timestamp <= entry.cancelDeadline) revert CancelNotDue(idx, entry.cancelDeadline);
        entry.pendingDeposit -= uint64(amount);
        entry.cancelling = 0;
        entry.cancelDeadline = 0;
        entry.withdrawable += uint64(amount);
        emit DepositCancelled(idx, amount);
    }

    /// @inheritdoc ISettlement
    function freeze(uint256 idx) external {
        Record storage entry = _accounts[idx];
        _requireFreezable(entry, idx);
        uint256 root = stateRoot;
        uint256 refunded = entry.pendingDeposit;
        uint256 voided = entry.pendingWithdrawal;
        entry.status = Status.Frozen;
        entry.frozenRoot = root;
        entry.pendingKey = 0;
        entry.keyDeadline = 0;
        entry.pendingWithdrawal = 0;
        entry.withdrawalDeadline = 0;
        entry.pendingDeposit = 0;
        entry.cancelling = 0;
        entry.cancelDeadline = 0;
        entry.withdrawable += uint64(refunded);
        _control.anyFrozen = true;
        _frozen.add(idx);
        emit AccountFrozen(idx, root, refunded, voided);
    }

    /// @inheritdoc ISettlement
    function exit(uint256 idx, uint256 balance, uint256[8] calldata proof) external nonReentrant {
        Record storage entry = _accounts[idx];
        if (entry.status != Status.Frozen) revert AccountNotFrozen(idx);
        if (!Proofs.holds(exitVerifier, proof, [entry.frozenRoot, idx, balance])) revert InvalidProof();
        entry.status = Status.Exited;
        address payee = entry.owner;
        emit AccountExited(idx, payee, balance);
        _pay(payee, balance);
    }

    /// @dev Reverts if any slot is a frozen or exited account's.
    function _requireNoneFrozen(uint256[] calldata words) internal view {
        uint256 idx = _frozen.firstIn(words);
        if (idx != 0) revert AccountIsFrozen(idx);
    }

    function _requireFreezable(Record storage entry, uint256 idx) private view {
        Status status = entry.status;
        if (status == Status.None) revert UnknownAccount(idx);
        if (status == Status.Unopened) revert AccountNotOpened(idx);
        if (status != Status.Open) revert AccountIsFrozen(idx);
        bool withdrawalOverdue = entry.pendingWithdrawal != 0 && block.timestamp > entry.withdrawalDeadline;
        bool keyOverdue = entry.pendingKey != 0 && block.timestamp > entry.keyDeadline;
        if (!withdrawalOverdue && !keyOverdue) revert NothingOverdue(idx);
    }
}
