import { defineConfig } from "vite";

export default defineConfig({
  server: {
    port: Number(process.env.PORT ?? 5189),
    // Another port would be one that nobody watches.
    strictPort: true,
  },
});
