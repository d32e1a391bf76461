// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {Base} from "./Base.sol";
import {Deployment} from "./Fixture.sol";

/// @dev Drives a settlement with random calls of owners, operator and claimers, and keeps the account tree that the
/// proofs would keep. Every call is a valid one, so a revert in here is a failure.
contract Handler is Deployment {
    uint256 internal constant WALLETS = 3;

    address[] internal wallets;
    /// @dev Tree balances by account index.
    mapping(uint256 idx => uint256) public balanceOf;

    /// @dev No constructor: the settlement asks this contract, its owner, for a delay. Once only.
    function start() external {
        if (address(settlement) != address(0)) return;
        _deploy();
        for (uint160 i = 1; i <= WALLETS; ++i) {
            wallets.push(address(0xC0FFEE00 + i));
            _fund(wallets[i - 1]);
            _deposit(wallets[i - 1], 1_000 * VIBES);
        }
    }

    function deposit(uint256 who, uint256 amount) external {
        address wallet = wallets[who % WALLETS];
        uint256 most = token.balanceOf(wallet);
        if (most != 0) _deposit(wallet, bound(amount, 1, most));
    }

    function depositFor(uint256 who, uint256 whom, uint256 amount) external {
        address wallet = wallets[who % WALLETS];
        uint256 most = token.balanceOf(wallet);
        if (most == 0) return;
        vm.prank(wallet);
        settlement.depositFor(whom % WALLETS + 1, bound(amount, 1, most));
    }

    function requestWithdrawal(uint256 who, uint256 amount) external {
        address wallet = wallets[who % WALLETS];
        if (settlement.account(settlement.indexOf(wallet)).pendingWithdrawal != 0) return;
        vm.prank(wallet);
        settlement.requestWithdrawal(bound(amount, 1, 2_000 * VIBES));
    }

    function setBps(uint256 id, uint256 bps) external {
        registry.setBps(id % 2 + 1, bound(bps, 0, MAX_BPS));
        if (bps & 1 == 0) settlement.applyTerms(id % 2 + 1);
    }

    function withdraw(uint256 whom) external {
        uint256 idx = whom % WALLETS + 1;
        if (settlement.account(idx).withdrawable != 0) settlement.withdraw(idx);
    }

    function claimPartner(uint256 id) external {
        id = id % 2 + 1;
        if (settlement.partnerClaimable(id) != 0) settlement.claimPartner(id);
    }

    function claimFeeAndTreasury() external {
        ISettlement.Totals memory totals = settlement.totals();
        if (totals.fee > totals.feePaid) settlement.claimFee();
        if (totals.treasury > totals.treasuryPaid + 1 * VIBES) settlement.claimTreasury();
    }

    /// @dev One batch over all wallets with whatever each has pending.
    function settle(uint256 seed) external {
        uint256[] memory words = new uint256[](8);
        uint256 total;
        uint256 rewardsLeft = settlement.totals().pool - settlement.totals().rewards;
        for (uint256 i = 0; i < WALLETS; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            (uint256 charge, uint256 reward) = _fillSlot(words, i, seed, rewardsLeft);
            total += charge;
            rewardsLeft -= reward;
        }
        _settle(words, _split(seed, total), total);
    }

    function _fillSlot(uint256[] memory words, uint256 position, uint256 seed, uint256 rewardsLeft)
        internal
        returns (uint256 charge, uint256 reward)
    {
        uint256 idx = position + 1;
        ISettlement.Account memory entry = settlement.account(idx);
        uint256 deposited = bound(seed, 0, entry.pendingDeposit);
        reward = bound(seed >> 32, 0, rewardsLeft);
        uint256 balance = balanceOf[idx] + deposited + reward;
        charge = bound(seed >> 64, 0, balance);
        balance -= charge;
        uint256 withdrawn;
        bool drain;
        if (entry.pendingWithdrawal != 0 && seed & 1 == 0) {
            drain = entry.pendingWithdrawal >= balance;
            withdrawn = drain ? balance : entry.pendingWithdrawal;
        }
        balanceOf[idx] = balance - withdrawn;
        words[2 * position] = _word(idx, charge, reward, deposited, withdrawn, drain);
        words[2 * position + 1] = entry.pendingKey;
    }

    /// @dev Splits the charges over the house and both partners.
    function _split(uint256 seed, uint256 total) internal pure returns (uint256[] memory words) {
        uint256 first = bound(seed >> 96, 0, total);
        uint256 second = bound(seed >> 128, 0, total - first);
        uint256[3] memory gross = [first, second, total - first - second];
        uint256 used;
        for (uint256 id = 0; id < 3; ++id) {
            if (gross[id] != 0) ++used;
        }
        words = new uint256[](used);
        for (uint256 id = 3; id > 0; --id) {
            if (gross[id - 1] != 0) words[--used] = (id - 1) << 64 | gross[id - 1];
        }
    }

    /// @dev What the settlement owes to anyone, base units.
    function liabilities() external view returns (uint256 owed) {
        for (uint256 idx = 1; idx <= WALLETS; ++idx) {
            ISettlement.Account memory entry = settlement.account(idx);
            owed += entry.pendingDeposit + entry.withdrawable + balanceOf[idx];
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

    function partnersDifference() external view returns (uint256) {
        uint256 earned = settlement.partnerClaimable(1) + settlement.partnerAccount(1).paid
            + settlement.partnerClaimable(2) + settlement.partnerAccount(2).paid;
        return settlement.totals().partners - earned;
    }
}

contract SettlementInvariantTest is Base {
    Handler internal handler;

    function setUp() public {
        handler = new Handler();
        handler.start();
    }

    /// @dev Tells forge whom to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @dev No unit is made or lost: what is held is what is owed, to the last base unit.
    function invariant_held_is_owed() public view {
        assertEq(handler.held(), handler.liabilities(), "token balance = liabilities");
    }

    function invariant_burned_is_burned() public view {
        assertEq(handler.supplyDifference(), 0, "supply");
        assertEq(handler.partnersDifference(), 0, "partners");
    }
}
