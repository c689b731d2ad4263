in vec3 v_world;
in vec3 v_normal;
in vec3 v_local;
uniform vec4 u_colour;
uniform float u_gloss;
uniform int u_kind;       // 0 smooth, 1 lens, 2 knitted, 4 pleated cloth, 5 skin
out vec4 f_colour;

// What a lens mirrors: a bright window with a bar, high at the side of the key light, and a pale ground.
float mirrored(vec3 r) {
    vec2 w = vec2(r.x - sign(u_key_direction.x + 1e-4) * 0.42, r.y - 0.30);
    w.x += 0.25 * w.y;
    float pane = smoothstep(0.20, 0.15, abs(w.x)) * smoothstep(0.17, 0.12, abs(w.y)) * smoothstep(0.008, 0.02, abs(w.x + 0.03));
    return pane + 0.10 * smoothstep(0.1, -0.5, r.y);
}

void main() {
    vec3 n = normalize(v_normal);
    vec3 v = to_camera(v_world);
    if (dot(n, v) < 0.0) n = -n;
    vec3 colour = u_colour.rgb, wrap = vec3(0.1);
    float alpha = u_colour.a, power = 40.0, ao = 1.0;
    if (u_kind == 2) {
        vec2 c = vec2(atan(v_local.x, v_local.z + 9.0) * 8.5, v_local.y);
        float rib = cos(c.x * 4.6 + 0.35 * sin(c.y * 6.0));
        colour *= 0.80 + 0.20 * rib;
        n = normalize(n + 0.22 * sin(c.x * 4.6) * vec3(n.z, 0.0, -n.x) + 0.10 * sin(c.y * 7.0) * vec3(0.0, 1.0, 0.0));
        float grazing = 1.0 - clamp(dot(n, v), 0.0, 1.0);
        colour += 0.5 * grazing * grazing * grazing * (0.05 + 0.4 * colour);
        wrap = vec3(0.22);
        power = 6.0;
    }
    if (u_kind == 4) { wrap = vec3(0.30); power = 8.0; }
    if (u_kind == 5) {
        vec4 spots = texture(u_noise, v_local * 0.10);
        colour *= 0.93 + 0.14 * vec3(spots.r, spots.g, spots.g);
        n = normalize(n + 0.10 * (texture(u_noise, v_local * 0.35).rgb - 0.5));
        wrap = vec3(0.38, 0.20, 0.14);
        power = 14.0;
    }
    vec3 c = shade(colour, v_world, n, v, ao, wrap, u_gloss, power);
    if (u_kind == 1) {
        float fresnel = pow(1.0 - clamp(dot(n, v), 0.0, 1.0), 4.0);
        float glint = mirrored(reflect(-v, n)) * (0.35 + 0.65 * fresnel);
        c = c * alpha + u_key * (0.85 * glint) + u_sky * 0.6 * fresnel;
        alpha = clamp(alpha + 0.5 * glint + 0.5 * fresnel, 0.0, 1.0);
        c /= max(alpha, 1e-3);
    }
    f_colour = developed(c, alpha);
}
