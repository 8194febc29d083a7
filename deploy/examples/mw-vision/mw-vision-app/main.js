document.querySelector("#loaded").textContent = `Loaded ${new Date().toLocaleTimeString()}.`;
