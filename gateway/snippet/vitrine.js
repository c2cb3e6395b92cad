/* Vitrine: events out, pages in. <script async src="https://gateway/vitrine.js" data-key="browser-key"></script>
   Options: data-endpoint, data-tenant, data-page-type, data-consent="required", data-auto="off". docs/gateway.md */
(function (w, d) {
  "use strict";
  var script = d.currentScript, opt = (script && script.dataset) || {};
  var base = (opt.endpoint || (script && script.src ? new URL(script.src).origin : "")).replace(/\/$/, "");
  var auth = opt.key ? "?key=" + encodeURIComponent(opt.key) : opt.tenant ? "?tenant=" + encodeURIComponent(opt.tenant) : "";
  var SLOT = "data-vitrine-slot", ITEM = "data-vitrine-item";
  var MOST = 60000;  // bytes: browsers refuse what is sent on leaving, and with keepalive, beyond 64 KiB
  var queue = [], details = {}, seen = {}, timers = new Map(), listeners = [], pause = 0;
  var flushTimer, stream, visitor, view, consent, page, observer, drawn = 0;

  function id() { return w.crypto.randomUUID(); }
  function store(name, value) {
    try {
      if (value === null) w.localStorage.removeItem("vitrine." + name);
      else if (value !== undefined) w.localStorage.setItem("vitrine." + name, value);
      else return w.localStorage.getItem("vitrine." + name);
    } catch (_) { /* storage is switched off: the visitor lasts as long as the page */ }
    return null;
  }

  function short(address) { return (address || "").slice(0, 2048) || undefined; }

  // ---- events out
  function track(name, fields) {
    var event = Object.assign({
      event_id: id(), event_name: name, event_time: Date.now(), page_view_id: view,
      page: { page_type: opt.pageType || "home", uri: short(w.location.href), referrer_uri: short(d.referrer) }
    }, fields);
    if (opt.tenant) event.tenant_id = opt.tenant;
    queue.push(event);
    if (queue.length > 200) queue.shift();
    if (consent && !flushTimer && !pause) flushTimer = w.setTimeout(flush, name === "item_impression" ? 400 : 0);
  }
  function body(events) {
    var now = Date.now();
    return JSON.stringify(events.map(function (e) {
      return Object.assign({}, e, { visitor_id: visitor, consent: consent, sent_at: now });
    }));
  }
  // As many of the oldest as may be sent at once: one at least.
  function take() {
    var count = Math.min(queue.length, 100);
    while (count > 1 && new w.Blob([body(queue.slice(0, count))]).size > MOST) count = Math.ceil(count / 2);
    return queue.splice(0, count);
  }
  function flush() {
    w.clearTimeout(flushTimer);
    flushTimer = 0;
    if (!consent || !queue.length) return;
    var batch = take();
    w.fetch(base + "/v1/events" + auth, {
      method: "POST", keepalive: true, headers: { "Content-Type": "application/json" }, body: body(batch)
    }).then(function (r) {
      if (r.status !== 429 && r.status < 500) { pause = 0; if (queue.length) flush(); return; }
      again(batch, Number(r.headers.get("Retry-After")) || 1);
    }, function () { again(batch, 1); });
  }
  // The same ids are sent again, so what had arrived all the same is counted once.
  function again(batch, seconds) {
    queue = batch.concat(queue).slice(-200);
    pause = Math.min(Math.max(seconds, pause * 2), 30);
    flushTimer = w.setTimeout(flush, pause * 1000);
  }
  function leave() {
    var type = { type: "text/plain" };  // no preflight: there is no time for one
    while (consent && queue.length) {
      var batch = take();
      if (w.navigator.sendBeacon(base + "/v1/events" + auth, new w.Blob([body(batch)], type))) continue;
      queue = batch.concat(queue);
      return;
    }
  }

  // ---- what the visitor does
  function place(element) {
    var slot = element.closest("[" + SLOT + "]");
    return {
      item_list_id: slot ? slot.getAttribute(SLOT) : undefined,
      items: [{
        item_id: element.getAttribute(ITEM),
        index: slot ? Array.from(slot.querySelectorAll("[" + ITEM + "]")).indexOf(element) : undefined
      }],
      attribution_token: slot && page ? page.attribution_token : undefined
    };
  }
  function pageView() {
    view = id();
    seen = {};
    track("page_view");
    scan(d);
  }
  function scan(root) {
    if (observer) root.querySelectorAll("[" + ITEM + "]").forEach(function (e) { observer.observe(e); });
  }
  // Seen: at least half of it in the window for one second, once per page view and slot.
  function watch(entries) {
    entries.forEach(function (entry) {
      var e = entry.target;
      if (entry.isIntersecting && entry.intersectionRatio >= 0.5) {
        if (!timers.has(e)) timers.set(e, w.setTimeout(function () {
          timers.delete(e);
          var fields = place(e), key = fields.item_list_id + "|" + fields.items[0].item_id;
          if (seen[key]) return;
          seen[key] = 1;
          track("item_impression", fields);
        }, 1000));
      } else if (timers.has(e)) {
        w.clearTimeout(timers.get(e));
        timers.delete(e);
      }
    });
  }

  // ---- pages in
  function connect() {
    if (stream) stream.close();
    var mine = stream = new w.EventSource(base + "/v1/pages/" + encodeURIComponent(visitor) + "/stream" + auth);
    stream.addEventListener("page", function (m) { show(JSON.parse(m.data)); });
    // A browser comes back by itself after a cut, but never after a refusal: too many streams, a gateway that starts.
    stream.addEventListener("error", function () {
      if (mine.readyState === 2 && mine === stream) w.setTimeout(function () { if (mine === stream) connect(); }, 2000 + Math.random() * 3000);
    });
  }
  function show(next) {
    page = next;
    var turn = ++drawn, ids = [];
    next.placements.forEach(function (p) {
      p.items.forEach(function (i) { if (!details[i.item_id] && ids.indexOf(i.item_id) < 0) ids.push(i.item_id); });
    });
    var slots = d.querySelectorAll("[" + SLOT + "]").length;
    var known = ids.length && slots ? w.fetch(base + "/v1/items" + (auth || "?") + "&ids=" + ids.map(encodeURIComponent).join(","))
      .then(function (r) { return r.json(); })
      .then(function (a) { a.items.forEach(function (i) { details[i.item_id] = i; }); }) : Promise.resolve();
    return known.then(function () {
      if (turn !== drawn) return;  // a newer page came meanwhile
      next.placements.forEach(function (p) {
        d.querySelectorAll("[" + SLOT + '="' + p.item_list_id + '"]').forEach(function (slot) { render(slot, p); });
      });
      listeners.forEach(function (f) { f(next); });
    }, function () { /* the next page tries again */ });
  }
  // Nodes of items that stay are kept and moved, and the slot keeps its height meanwhile: nothing jumps or flickers.
  function render(slot, placement) {
    var template = slot.querySelector("template"), kept = {};
    if (!template) return;
    slot.style.minHeight = slot.offsetHeight + "px";
    slot.querySelectorAll("[" + ITEM + "]").forEach(function (e) { kept[e.getAttribute(ITEM)] = e; });
    var before = template.nextElementSibling;
    placement.items.forEach(function (item) {
      var known = details[item.item_id], e = kept[item.item_id];
      if (!known) return;
      delete kept[item.item_id];
      if (!e) {
        e = template.content.firstElementChild.cloneNode(true);
        e.setAttribute(ITEM, item.item_id);
        fill(e, Object.assign({}, known, { reason: (item.reason || []).join(", ") }));
      }
      if (e === before) before = e.nextElementSibling;
      else slot.insertBefore(e, before);
    });
    Object.keys(kept).forEach(function (k) {
      if (observer) observer.unobserve(kept[k]);
      kept[k].remove();
    });
    scan(slot);
    w.requestAnimationFrame(function () { slot.style.minHeight = ""; });
  }
  function fill(element, item) {
    element.querySelectorAll("[data-field]").forEach(function (e) {
      var value = item[e.getAttribute("data-field")];
      if (value === undefined || value === null) return;
      if (e.tagName === "IMG") { e.src = value; e.alt = e.alt || item.title; }
      else if (e.tagName === "A" && e.hasAttribute("data-href")) {
        e.href = e.getAttribute("data-href").replace("{id}", encodeURIComponent(item.item_id));
        e.textContent = value;
      } else e.textContent = value;
    });
  }

  // ---- consent: nothing is sent or kept before it; without personalisation the visitor has a passing id
  function decide(choice) {
    consent = { personalization: !!choice.personalization, ads: !!choice.ads };
    store("consent", JSON.stringify(consent));
    if (consent.personalization) store("visitor", visitor = store("visitor") || visitor || id());
    else { store("visitor", null); visitor = id(); }
    connect();
    flush();
  }

  w.vitrine = {
    track: track, pageView: pageView, flush: flush, show: show, consent: decide,
    onPage: function (f) { listeners.push(f); },
    get visitor() { return visitor; }, get page() { return page; }
  };
  if (w.IntersectionObserver) observer = new w.IntersectionObserver(watch, { threshold: 0.5 });
  d.addEventListener("click", function (event) {
    var e = event.target.closest && event.target.closest("[" + ITEM + "]");
    if (e) track("select_item", place(e));
  }, true);
  w.addEventListener("pagehide", leave);
  d.addEventListener("visibilitychange", function () { if (d.visibilityState === "hidden") leave(); });
  if (opt.auto !== "off") {
    pageView();
    ["pushState", "replaceState"].forEach(function (name) {
      var original = w.history[name];
      w.history[name] = function () {
        var from = w.location.href, result = original.apply(this, arguments);
        if (w.location.href !== from) pageView();
        return result;
      };
    });
    w.addEventListener("popstate", pageView);
  } else view = id();
  var past = store("consent");
  if (past) decide(JSON.parse(past));
  else if (opt.consent !== "required") decide({ personalization: true, ads: true });
})(window, document);
