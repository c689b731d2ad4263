// What Gradio's page doesn't do by itself. LIMIT (bytes of one file) stands before this.

// --- one line over the page ---

// A line that screen readers read out at once; of each kind there is one. `seconds`: how long it stays, else until taken down.
function facesnapSay(kind, text, seconds) {
  facesnapHush(kind);
  const line = document.createElement("div");
  line.className = "fs-banner";
  line.dataset.kind = kind;
  line.setAttribute("role", "alert");
  document.body.append(line);
  line.textContent = text; // after it is in the page: only changes are read out
  if (seconds) setTimeout(() => line.remove(), 1000 * seconds);
}

function facesnapHush(kind) {
  document.querySelectorAll(`.fs-banner[data-kind="${kind}"]`).forEach(line => line.remove());
}

// --- in a small window the stage is below the cards: it is shown once the place for the picture is there ---

document.addEventListener("click", event => {
  if (window.innerWidth > 900 || !event.target.closest("#generate")) return;
  const show = tries => {
    if (document.querySelector("#forming figure")) document.querySelector(".fs-stage").scrollIntoView();
    else if (tries) setTimeout(show, 100, tries - 1);
  };
  setTimeout(show, 100, 30);
});

// --- files that are too large are told before they are sent: Gradio would send them, and then show a code ---

function facesnapTooLarge(files) {
  const large = [...(files ?? [])].find(file => file.size > LIMIT);
  if (!large) return false;
  const megabytes = (bytes, round) => `${round(bytes / 1048576 * 10) / 10}\u00a0MB`; // never "12 MB: at most 12 MB"
  facesnapSay("large", `“${large.name}” has ${megabytes(large.size, Math.ceil)}: a file may have at most ` +
    `${megabytes(LIMIT, Math.floor)}. Make it smaller, or take another one.`, 20);
  return true;
}

// In the capturing phase, so that Gradio's own listeners never see such files.
for (const [name, files] of [
  ["change", event => event.target.matches?.("input[type=file]") && event.target.files],
  ["drop", event => event.dataTransfer?.files],
  ["paste", event => event.clipboardData?.files],
]) {
  document.addEventListener(name, event => {
    const given = files(event);
    if (!given) return;
    facesnapHush("large");
    if (!facesnapTooLarge(given)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (name === "change") event.target.value = ""; // so that the same file may be chosen again
  }, true);
}

// --- what the server refuses: Gradio would show each answer as it came ---

{
  const send = window.fetch, TRIES = 10;

  // A request that came too soon is sent again when the server says that it may: nothing is lost, and there is one line.
  window.fetch = async (...request) => {
    let answer = await send(...request);
    const { pathname } = new URL(request[0].url ?? request[0], document.baseURI);
    if (!pathname.includes("/gradio_api/")) return answer;
    for (let tries = 1; answer.status === 429 && tries < TRIES; tries++) {
      const seconds = Number(answer.headers.get("Retry-After")) || 5;
      facesnapSay("often", `That was more than this server takes in a minute. It goes on by itself in ${seconds} s.`);
      await new Promise(wake => setTimeout(wake, 1000 * seconds));
      facesnapHush("often");
      answer = await send(...request);
    }
    if (answer.ok || !pathname.endsWith("/upload")) return answer;
    const problem = await answer.json().catch(() => ({})); // of uploads, Gradio shows the whole of it
    return new Response(problem.detail ?? "the file was not taken", { status: answer.status });
  };
}

// --- words that weren't sent yet outlast a reload; in this tab alone, and no longer than that ---

(() => {
  const KEY = "facesnap-words", FIELDS = ["prompt", "negative"];
  const field = name => document.querySelector(`#${name} textarea`);

  addEventListener("pagehide", () => {
    const words = FIELDS.map(name => [name, field(name)?.value]).filter(([, text]) => text);
    if (words.length) sessionStorage.setItem(KEY, JSON.stringify(Object.fromEntries(words)));
  });

  const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
  sessionStorage.removeItem(KEY);
  const restore = tries => {
    for (const name of Object.keys(kept)) {
      const place = field(name);
      if (!place) continue;
      if (!place.value) {
        place.value = kept[name];
        place.dispatchEvent(new Event("input", { bubbles: true })); // which Gradio listens to
      }
      delete kept[name];
    }
    if (tries && Object.keys(kept).length) setTimeout(restore, 100, tries - 1);
  };
  restore(100); // Gradio draws the page when it likes
})();

// --- whether the server is still there ---

(() => {
  const EVERY = 4000, TIMEOUT = 10000, FAILURES = 2; // milliseconds; a busy server may take its time
  let failures = 0, asking = false;

  async function answers() {
    try {
      const answer = await fetch("v1/health", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
      return ![502, 504].includes(answer.status); // which a proxy says of a server that is gone
    } catch {
      return false;
    }
  }

  async function look() {
    if (asking || document.hidden) return;
    asking = true;
    const here = await answers();
    asking = false;
    if (here && failures >= FAILURES) return location.reload(); // another run of the server knows nothing of this page
    failures = here ? 0 : failures + 1;
    if (failures === FAILURES) facesnapSay("gone",
      "The server doesn't answer. What was finished is kept; this page goes on by itself once it is back.");
  }

  setInterval(look, EVERY);
  document.addEventListener("visibilitychange", look);
})();
