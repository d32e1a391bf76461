// Line numbers beside the configuration file, and errors that lead to their lines.

const text = document.getElementById("text");
const box = text.closest(".editor");
const wrong = new Set(box.dataset.faults.trim().split(" "));
const numbers = document.createElement("ol");
numbers.setAttribute("aria-hidden", "true");
box.prepend(numbers);
box.classList.add("numbered");

function count() {
  const lines = text.value.split("\n").length;
  while (numbers.childElementCount > lines) numbers.lastElementChild.remove();
  while (numbers.childElementCount < lines) {
    const item = document.createElement("li");
    item.textContent = String(numbers.childElementCount + 1);
    if (wrong.has(item.textContent)) item.className = "wrong";
    numbers.append(item);
  }
}

/** Puts the cursor on a line, from 1, and brings it into view. */
function lead(line) {
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  text.focus();
  text.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
  text.scrollTop = (text.scrollHeight / lines.length) * Math.max(line - 5, 0);
}

text.addEventListener("input", count);
text.addEventListener("scroll", () => (numbers.scrollTop = text.scrollTop));
for (const link of document.querySelectorAll("[data-line]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    lead(Number(link.dataset.line));
  });
}
count();
