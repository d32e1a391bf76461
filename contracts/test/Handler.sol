// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {Deployment} from "./Fixture.sol";

/// @dev Drives a settlement with random calls of owners, guardian, operator and claimers, and keeps the account tree
/// that the proofs would keep. Every call is a valid one, or checked to be refused, so a revert is a failure.
contract Handler is Deployment {
    uint256 internal constant WALLETS = 5;
    uint256 internal constant SLOTS = 4;

    address[] internal wallets;
    uint256[] public indices;
    /// @dev Tree balances by account index.
    mapping(uint256 idx => uint256) public balanceOf;
    /// @dev How often an account was paid out by `exit`.
    mapping(uint256 idx => uint256) public exits;
    uint256 public frozen;
    uint256 internal present = 1_700_000_000;
    /// @dev What partners have earned, by terms: the floor of each stretch of usage at one share.
    uint256[3] public stretchGross;
    uint256[3] public earnedBefore;
    uint256[3] public stretchBps;

    /// @dev forge sets the clock back between the calls of a run.
    modifier timed() {
        vm.warp(present);
        _;
    }

    /// @dev No constructor: the settlement asks this contract, its owner, for a delay. Once only.
    function start() external {
        if (address(settlement) != address(0)) return;
        _deploy();
        (stretchBps[1], stretchBps[2]) = (3_000, 1_234);
        settlement.applyTerms(1);
        settlement.applyTerms(2);
        bytes32 nextIdx = _slotOfNextIdx();
        // In one block, in another block of one region, in another region, and the last of all.
        uint24[5] memory places = [1, 2, 300, 70_000, type(uint24).max];
        for (uint160 i = 0; i < WALLETS; ++i) {
            wallets.push(address(0xC0FFEE00 + i));
            _fund(wallets[i]);
            vm.store(address(settlement), nextIdx, bytes32(uint256(places[i])));
            indices.push(_deposit(wallets[i], 1_000 * VIBES));
        }
    }

    function wait(uint256 time) external {
        present += bound(time, 1 hours, 2 days);
    }

    function deposit(uint256 who, uint256 whom, uint256 amount) external {
        (address wallet, uint256 idx) = (wallets[who % WALLETS], indices[whom % WALLETS]);
        uint256 most = token.balanceOf(wallet);
        if (most == 0) return;
        amount = bound(amount, 1, most);
        bytes memory data = abi.encodeCall(settlement.depositFor, (idx, amount));
        if (who & 1 == 0) {
            (idx, data) = (indices[who % WALLETS], abi.encodeCall(settlement.deposit, (amount, 0)));
        }
        vm.prank(wallet);
        (bool done,) = address(settlement).call(data);
        assertTrue(done == (_live(idx) && !settlement.paused()), "deposits: live accounts, not paused");
    }

    function request(uint256 who, uint256 what, uint256 amount) external timed {
        (address wallet, uint256 idx) = (wallets[who % WALLETS], indices[who % WALLETS]);
        ISettlement.Account memory entry = settlement.account(idx);
        if (!_live(idx)) return;
        vm.startPrank(wallet);
        if (what % 3 == 0 && entry.pendingWithdrawal == 0) {
            settlement.requestWithdrawal(bound(amount, 1, 2_000 * VIBES));
        } else if (what % 3 == 1 && entry.pendingKey == 0) {
            settlement.setSessionKey(bound(amount, 1, FIELD - 1));
        } else if (what % 3 == 2 && entry.cancelling == 0 && entry.pendingDeposit != 0) {
            settlement.announceCancelDeposit();
        }
        vm.stopPrank();
    }

    function cancelDeposit(uint256 whom) external timed {
        uint256 idx = indices[whom % WALLETS];
        ISettlement.Account memory entry = settlement.account(idx);
        bool due = entry.cancelling != 0 && block.timestamp > entry.cancelDeadline;
        (bool done,) = address(settlement).call(abi.encodeCall(settlement.cancelDeposit, (idx)));
        assertTrue(done == due, "cancelled when due, and only then");
    }

    /// @dev Tries everyone: chance alone would seldom find somebody overdue.
    function freeze() external timed {
        for (uint256 i = 0; i < WALLETS; ++i) {
            ISettlement.Account memory entry = settlement.account(indices[i]);
            bool overdue = (entry.pendingWithdrawal != 0 && block.timestamp > entry.withdrawalDeadline)
                || (entry.pendingKey != 0 && block.timestamp > entry.keyDeadline);
            bool open = entry.status == ISettlement.Status.Open;
            (bool done,) = address(settlement).call(abi.encodeCall(settlement.freeze, (indices[i])));
            assertTrue(done == (open && overdue), "frozen when overdue, and only then");
            if (done) ++frozen;
        }
    }

    function exit() external {
        uint256[8] memory proof;
        for (uint256 i = 0; i < WALLETS; ++i) {
            uint256 idx = indices[i];
            ISettlement.Account memory entry = settlement.account(idx);
            if (entry.frozenRoot != 0) exitVerifier.expectInput([entry.frozenRoot, idx, balanceOf[idx]]);
            (bool done,) =
                address(settlement).call(abi.encodeCall(settlement.exit, (idx, balanceOf[idx], proof)));
            assertTrue(done == (entry.status == ISettlement.Status.Frozen), "frozen accounts exit, once");
            if (!done) continue;
            ++exits[idx];
            balanceOf[idx] = 0; // what stays in the tree is owed to nobody any more
        }
    }

    function pause(bool stop) external {
        vm.prank(guardian);
        stop ? settlement.pause() : settlement.unpause();
    }

    function setBps(uint256 id, uint256 bps) external {
        id = id % 2 + 1;
        registry.setBps(id, bound(bps, 0, MAX_BPS));
        if (bps & 1 == 0) {
            settlement.applyTerms(id);
            earnedBefore[id] = expectedOf(id);
            (stretchGross[id], stretchBps[id]) = (0, registry.partner(id).bps);
        }
    }

    function withdraw(uint256 whom) external {
        uint256 idx = indices[whom % WALLETS];
        if (settlement.account(idx).withdrawable != 0) settlement.withdraw(idx);
    }

    function claim(uint256 id) external {
        id = id % 2 + 1;
        if (settlement.partnerClaimable(id) != 0) settlement.claimPartner(id);
        ISettlement.Totals memory totals = settlement.totals();
        if (totals.fee > totals.feePaid) settlement.claimFee();
        if (totals.treasury > totals.treasuryPaid + 1 * VIBES) settlement.claimTreasury();
    }

    /// @dev One batch over four of the wallets with whatever each has pending.
    function settle(uint256 seed) external {
        if (settlement.paused()) return;
        uint256[] memory words = new uint256[](2 * SLOTS);
        uint256 total;
        uint256 rewardsLeft = settlement.totals().pool - settlement.totals().rewards;
        for (uint256 i = 0; i < SLOTS; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 idx = indices[(i + seed % 2) % WALLETS];
            if (!_live(idx)) continue;
            (uint256 charge, uint256 reward) = _fillSlot(words, i, idx, seed >> 8, rewardsLeft);
            total += charge;
            rewardsLeft -= reward;
        }
        _settle(words, _split(seed, total), total);
    }

    /// @dev A batch with a slot for a frozen account is refused, whatever else is in it.
    function settleFrozen(uint256 whom) external {
        uint256 idx = indices[whom % WALLETS];
        if (_live(idx) || settlement.paused()) return;
        uint256[] memory words = new uint256[](2 * SLOTS);
        words[6] = _word(idx, 0, 0, 0, 0, false);
        bytes memory refusal = abi.encodeWithSelector(ISettlement.AccountIsFrozen.selector, idx);
        _settleReverts(words, new uint256[](0), 0, refusal);
    }

    /// @dev What a partner has earned by its charges, base units.
    function expectedOf(uint256 id) public view returns (uint256) {
        return earnedBefore[id] + stretchGross[id] * stretchBps[id] / 10_000;
    }

    /// @dev What the settlement owes to anyone, base units.
    function liabilities() external view returns (uint256 owed) {
        for (uint256 i = 0; i < WALLETS; ++i) {
            ISettlement.Account memory entry = settlement.account(indices[i]);
            owed += entry.pendingDeposit + entry.withdrawable + balanceOf[indices[i]];
        }
        ISettlement.Totals memory totals = settlement.totals();
        owed += settlement.partnerClaimable(1) + settlement.partnerClaimable(2);
        owed += totals.fee - totals.feePaid;
        owed += totals.treasury - totals.treasuryPaid;
        owed += totals.pool - totals.rewards;
    }

    function held() external view returns (uint256) {
        return token.balanceOf(address(settlement));
    }

    function supplyDifference() external view returns (uint256) {
        return token.totalMinted() - token.totalSupply() - settlement.totals().burned;
    }

    function earnedOf(uint256 id) external view returns (uint256) {
        return settlement.partnerClaimable(id) + settlement.partnerAccount(id).paid;
    }

    function totals_() external view returns (ISettlement.Totals memory) {
        return settlement.totals();
    }

    function account_(uint256 i) external view returns (ISettlement.Account memory) {
        return settlement.account(indices[i]);
    }

    function anyFrozen() external view returns (bool) {
        return settlement.anyFrozen();
    }

    function _live(uint256 idx) internal view returns (bool) {
        ISettlement.Status status = settlement.account(idx).status;
        return status == ISettlement.Status.Unopened || status == ISettlement.Status.Open;
    }

    function _fillSlot(
        uint256[] memory words,
        uint256 position,
        uint256 idx,
        uint256 seed,
        uint256 rewardsLeft
    ) internal returns (uint256 charge, uint256 reward) {
        for (uint256 i = 0; i < position; ++i) {
            if (words[2 * i] & 0xffffff == idx) return (0, 0); // one slot an account
        }
        ISettlement.Account memory entry = settlement.account(idx);
        bool opening = entry.status == ISettlement.Status.Unopened;
        uint256 deposited = bound(seed, 0, entry.pendingDeposit);
        reward = bound(seed >> 32, 0, rewardsLeft);
        uint256 balance = balanceOf[idx] + deposited + reward;
        charge = bound(seed >> 64, 0, balance);
        balance -= charge;
        uint256 withdrawn;
        bool drain;
        if (entry.pendingWithdrawal != 0 && seed & 3 == 0) {
            drain = entry.pendingWithdrawal >= balance;
            withdrawn = drain ? balance : entry.pendingWithdrawal;
        }
        balanceOf[idx] = balance - withdrawn;
        words[2 * position] = _word(idx, charge, reward, deposited, withdrawn, drain);
        if (opening || seed & 12 == 0) words[2 * position + 1] = entry.pendingKey;
    }

    /// @dev Splits the charges over the house and both partners.
    function _split(uint256 seed, uint256 total) internal returns (uint256[] memory words) {
        uint256 first = bound(seed >> 96, 0, total);
        uint256 second = bound(seed >> 128, 0, total - first);
        uint256[3] memory gross = [first, second, total - first - second];
        uint256 used;
        for (uint256 id = 0; id < 3; ++id) {
            if (gross[id] != 0) ++used;
            stretchGross[id] += gross[id];
        }
        words = new uint256[](used);
        for (uint256 id = 3; id > 0; --id) {
            if (gross[id - 1] != 0) words[--used] = (id - 1) << 64 | gross[id - 1];
        }
    }
}
