// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "circomlib/circuits/bitify.circom";
include "circomlib/circuits/comparators.circom";
include "path.circom";

// A region is a subtree of 8^LEVELS accounts: those whose indices have the same high bits. Slots are sorted, so the
// slots of one region follow each other. They share one *unit*, which proves the path from the region to the root once
// for all of them: row i is slot i, a run is the rows of one region, the j-th run takes unit j.

// Top of a region in which no account was ever used: 0, hashed with itself on four levels.
function EMPTY_REGION() {
    return 6190352091218036727882286149423839206305732835518369231577714611527246027376;
}

// The units' chain: unit k turns roots[k] into roots[k + 1] by replacing the top of one region.
// @input  region[K] - {Uint(3 * LEVELS)}
// @input  oldSub[K], newSub[K] - {field} - the region's top before and after
// @input  children[K][LEVELS][8] - {field} - see PathUpdate
// @input  oldRoot - {field} - before the first unit
// @output newRoot - {field} - after the last unit
template RegionUpdates(K, LEVELS) {
    signal input region[K];
    signal input oldSub[K];
    signal input newSub[K];
    signal input children[K][LEVELS][8];
    signal input oldRoot;
    signal output newRoot;

    signal roots[K + 1];
    signal unitRoots[K];
    roots[0] <== oldRoot;
    for (var k = 0; k < K; k++) {
        (unitRoots[k], roots[k + 1]) <== PathUpdate(LEVELS)(
            Num2Bits(3 * LEVELS)(region[k]), oldSub[k], newSub[k], children[k]
        );
        unitRoots[k] === roots[k];
    }
    newRoot <== roots[K];
}

// Which row begins a run, and which unit that run takes.
//
// at[i][k] says whether row i lies in unit k - 1's run; k = 0 stands for "before the first run". Exactly one of each
// row is 1: the rows before the first have k = 0, a row that begins a run moves on by one, any other stays. So the runs
// take the units in their order, one each, and a batch of more than K runs has no witness.
// @input  region[N] - {Uint12}
// @input  padding[N] - {bool} - only behind the last row that is not; SortedSlots sees to that
// @output start[N] - {bool} - whether the row begins a run
// @output opens[N][K] - {bool} - opens[i][k]: row i begins unit k's run
// @output last[K] - {bool} - last[k]: unit k's run is the batch's last
// @output used[K] - {bool} - whether any run takes unit k
template UnitPositions(N, K) {
    signal input region[N];
    signal input padding[N];
    signal output start[N];
    signal output opens[N][K];
    signal output last[K];
    signal output used[K];

    signal same[N]; // {bool} - the row's region is that of the row before
    var at[K + 1]; // {bool}
    at[0] = 1;
    for (var k = 1; k <= K; k++) {
        at[k] = 0;
    }
    for (var i = 0; i < N; i++) {
        if (i == 0) {
            same[i] <== 0;
        } else {
            same[i] <== IsZero()(region[i] - region[i - 1]);
        }
        start[i] <== (1 - padding[i]) * (1 - same[i]);
        start[i] * at[K] === 0; // no unit is left
        for (var k = 0; k < K; k++) {
            opens[i][k] <== start[i] * at[k];
        }
        for (var k = 0; k < K; k++) {
            at[k] -= opens[i][k];
            at[k + 1] += opens[i][k];
        }
    }
    var reached = 0;
    for (var k = K - 1; k >= 0; k--) {
        last[k] <== at[k + 1];
        reached += at[k + 1];
        used[k] <== reached;
    }
}

// Ties every row to its run's unit, so that rows and units together take oldRoot to newRoot.
//
// A run that takes unit k finds its region's top as the unit says (oldSub), hands it from row to row, and leaves it as
// the unit says (newSub). A unit that no run takes changes nothing.
// @input region[N] - {Uint12}, padding[N] - {bool} - the rows'
// @input oldSub[N], newSub[N] - {field} - the rows': the region's top before and after the row
// @input unitRegion[K] - {Uint12}, unitOld[K], unitNew[K] - {field} - the units'
template LinkRegions(N, K) {
    signal input region[N];
    signal input padding[N];
    signal input oldSub[N];
    signal input newSub[N];
    signal input unitRegion[K];
    signal input unitOld[K];
    signal input unitNew[K];

    component positions = UnitPositions(N, K);
    positions.region <== region;
    positions.padding <== padding;

    signal current[N]; // {field} - the top of the latest run's region behind row i
    for (var i = 0; i < N; i++) {
        for (var k = 0; k < K; k++) {
            positions.opens[i][k] * (unitRegion[k] - region[i]) === 0;
            positions.opens[i][k] * (unitOld[k] - oldSub[i]) === 0;
            if (i > 0 && k > 0) {
                // Here run k begins, so run k - 1 ended with the row before.
                positions.opens[i][k] * (unitNew[k - 1] - newSub[i - 1]) === 0;
            }
        }
        // Padding hides no tree of its own: its path is that of an empty region.
        padding[i] * (oldSub[i] - EMPTY_REGION()) === 0;
        if (i == 0) {
            current[i] <== newSub[i];
        } else {
            // Neither padding nor the first of its run: goes on where the row before stopped.
            (1 - padding[i] - positions.start[i]) * (oldSub[i] - newSub[i - 1]) === 0;
            current[i] <== newSub[i] + padding[i] * (current[i - 1] - newSub[i]);
        }
    }
    for (var k = 0; k < K; k++) {
        positions.last[k] * (unitNew[k] - current[N - 1]) === 0;
        (1 - positions.used[k]) * (unitNew[k] - unitOld[k]) === 0;
        (1 - positions.used[k]) * unitRegion[k] === 0;
    }
}
