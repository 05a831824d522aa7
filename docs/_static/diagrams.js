// Draws the page's Mermaid diagrams, in the theme's light or dark, with the script that `make book` put beside this one.
const here = document.currentScript.src;

document.addEventListener("DOMContentLoaded", () => {
    const diagrams = [...document.querySelectorAll("pre.mermaid")];
    if (!diagrams.length) return;
    const sources = diagrams.map(each => each.textContent);
    const draw = () => {
        const dark = document.documentElement.dataset.theme === "dark";
        mermaid.initialize({ startOnLoad: false, theme: dark ? "dark" : "default" });
        diagrams.forEach((each, i) => { each.removeAttribute("data-processed"); each.textContent = sources[i]; });
        return mermaid.run({ nodes: diagrams });
    };
    const script = document.createElement("script");
    script.src = new URL("mermaid.min.js", here);
    script.onload = async () => {
        await draw();
        new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    };
    document.head.append(script);
});
