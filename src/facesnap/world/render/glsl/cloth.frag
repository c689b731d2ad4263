// Cloth: a cut in rest space, a pattern in cloth coordinates, seams, folds as slopes, and light on fibres.
// PATTERN and DETAIL are numbers into clothes.PATTERNS and clothes.DETAILS: one program for each pair that a garment
// has, since software GL computes all sides of a branch.
in vec3 v_world;
in vec3 v_normal;
in vec4 v_rest;
in vec4 v_cloth;
in float v_open;
uniform vec3 u_cloth;
uniform vec3 u_cloth_second;
uniform vec3 u_neckline;      // y at the front, sides, back
uniform vec2 u_cut;           // a V in front: y of its tip, rise per cm sideways
uniform float u_band;         // height of the edge's own band, cm
uniform float u_depth_of_folds;
uniform float u_sheen;
uniform float u_fold_variant;
uniform sampler2D u_folds;
out vec4 f_colour;

float line(float x, float half_width) { return 1.0 - smoothstep(half_width * 0.6, half_width * 1.4, abs(x)); }
float wave(float x) { return abs(fract(x) * 2.0 - 1.0); }
float hash(vec2 p) { return fract(sin(dot(p, vec2(127.1, 311.7))) * 43758.5453); }

float below_neckline(vec3 rest) {
    float turn = abs(atan(rest.x, rest.z + 2.0)) / 1.5708;
    float a = min(turn, 1.0), b = max(turn - 1.0, 0.0);
    float edge = mix(u_neckline.x, u_neckline.y, a * a * (3.0 - 2.0 * a));
    edge = mix(edge, u_neckline.z, b * b * (3.0 - 2.0 * b));
    float below = edge - rest.y;
    if (rest.z > -2.0) below = min(below, (u_cut.x - rest.y + u_cut.y * abs(rest.x)) / (1.0 + 0.5 * u_cut.y));
    return below;
}

// Albedo at cloth coordinates; slope gets the relief's slope.
vec3 weave(vec2 c, inout vec2 slope) {
    vec3 one = u_cloth, two = u_cloth_second;
    if (PATTERN == 1) return mix(one, two, smoothstep(0.54, 0.62, wave(c.y / 3.4)));
    if (PATTERN == 2) {
        vec2 w = smoothstep(vec2(0.54), vec2(0.62), vec2(wave(c.x / 3.2), wave(c.y / 3.2)));
        vec2 thin = vec2(line(wave(c.x / 3.2) - 0.9, 0.05), line(wave(c.y / 3.2) - 0.9, 0.05));
        vec3 cloth = mix(one, two, 0.5 * (w.x + w.y));
        return mix(cloth, mix(one, vec3(0.9), 0.35), 0.45 * max(thin.x, thin.y));
    }
    if (PATTERN == 3) {
        vec2 g = c / 1.7;
        g.x += 0.5 * mod(floor(g.y), 2.0);
        return mix(two, one, smoothstep(0.24, 0.29, length(fract(g) - 0.5)));
    }
    if (PATTERN == 4) {
        vec3 cloth = one;
        for (int i = 0; i < 2; i++) {
            vec2 g = c / (i == 0 ? 3.1 : 2.2) + float(i) * 0.37, cell = floor(g);
            vec2 d = fract(g) - 0.5 - 0.28 * (vec2(hash(cell), hash(cell + 7.0)) - 0.5);
            float size = (i == 0 ? 0.27 : 0.15) * (0.8 + 0.4 * hash(cell + 3.0));
            float petal = size * (0.70 + 0.30 * cos(5.0 * atan(d.y, d.x) + 6.28 * hash(cell)));
            float r = length(d);
            vec3 tint = i == 0 ? mix(two, vec3(0.95), 0.35 * hash(cell + 5.0)) : vec3(0.10, 0.22, 0.08);
            cloth = mix(cloth, tint, 1.0 - smoothstep(petal - 0.03, petal + 0.02, r));
            if (i == 0) cloth = mix(cloth, vec3(0.75, 0.55, 0.10), 1.0 - smoothstep(0.05, 0.08, r));
        }
        return cloth;
    }
    if (PATTERN == 5) {
        slope.x += 0.45 * sin(c.x * 7.0);
        return one * (0.80 + 0.20 * cos(c.x * 7.0));
    }
    if (PATTERN == 6) {
        float twill = hash(floor(vec2(c.x * 14.0 + c.y * 14.0, c.x * 5.0 - c.y * 5.0)));
        return mix(one, vec3(0.62, 0.66, 0.70), 0.10 + 0.16 * twill);
    }
    if (PATTERN == 7) return mix(one, two, smoothstep(0.74, 0.82, wave(c.x / 1.5)));
    if (PATTERN == 8) {
        float fleck = hash(floor(c * 5.0));
        float bone = wave(c.x / 1.2) * 0.6 + c.y * 0.9;
        return one * (0.90 + 0.14 * fleck) * (0.94 + 0.09 * step(0.5, fract(bone * 1.6)));
    }
    if (PATTERN == 9) {
        float cable = abs(fract(c.x / 5.6) - 0.5) * 5.6;          // a cable every 5.6 cm, ribs between
        float twist = cable - 0.55 * sin(c.y * 1.9) - 0.7;
        bool inside = cable < 1.5;
        float phase = inside ? twist * 4.2 : c.x * 9.0;
        slope.x += (inside ? 0.75 : 0.35) * sin(phase);
        slope.y += inside ? 0.25 * sin(c.y * 3.8) : 0.22 * sin(c.y * 10.0);
        return one * (0.78 + 0.20 * cos(phase)) * (inside ? 1.06 : 0.97);
    }
    if (PATTERN == 10) {
        vec2 g = vec2(c.x / 7.0, c.y / 10.0);
        float diamond = abs(fract(g.x) - 0.5) + abs(fract(g.y) - 0.5);
        vec2 h = g + vec2(0.25, 0.25);
        float thread = min(abs(fract(h.x + h.y) - 0.5), abs(fract(h.x - h.y) - 0.5));
        vec3 cloth = mix(two, one, smoothstep(0.40, 0.44, diamond));
        return mix(cloth, vec3(0.85), 0.6 * (1.0 - smoothstep(0.012, 0.03, thread)));
    }
    return one;
}

void main() {
    vec3 rest = v_rest.xyz;
    bool trunk = v_cloth.w < 0.5;
    float below = trunk ? below_neckline(rest) : 1.0;
    if (below < 0.0) discard;
    vec2 c = v_cloth.xy, slope = vec2(0.0);
    vec3 cloth = weave(c, slope);
    float ao = v_rest.w * v_open, seam = 0.0, tone = 1.0;
    if (trunk) {
        vec2 window = vec2((c.x + 32.0) / 64.0, (clamp((c.y + 34.0) / 28.0, 0.01, 0.99) + u_fold_variant) / 4.0);
        vec4 fold = texture(u_folds, window);
        slope += (fold.xy - 0.5) * 2.0 * u_depth_of_folds;
        ao *= mix(1.0, clamp(0.45 + fold.z, 0.4, 1.15), min(0.8 * u_depth_of_folds, 1.0));
        float sleeve = abs(rest.x) - 16.9 - 0.02 * (rest.y + 24.0) * (rest.y + 24.0) * step(-24.0, rest.y);
        seam = 0.7 * line(sleeve, 0.10);
        slope.x += sign(rest.x) * 0.3 * line(sleeve - 0.2, 0.25);
        if (u_band > 0.0) {
            float rim = smoothstep(u_band + 0.06, u_band - 0.06, below);
            if (PATTERN == 9 || PATTERN == 10) {
                cloth = mix(cloth, u_cloth * (0.82 + 0.18 * cos(atan(rest.x, rest.z + 2.0) * 90.0)), rim);
            } else cloth = mix(cloth, u_cloth, rim);
            seam = max(seam, line(below - u_band, 0.07));
        }
        if (rest.z > 0.0) {
            if (DETAIL == 1 || DETAIL == 3) {
                float wide = DETAIL == 1 ? 1.5 : 2.0;
                seam = max(seam, 0.55 * line(abs(rest.x) - wide, 0.06));
                seam = max(seam, 0.9 * line(rest.x + wide + 0.15, 0.09) );
                vec2 b = vec2(rest.x, fract((rest.y + 17.6) / 4.4 + 0.5) * 4.4 - 2.2);
                float r = length(b), size = DETAIL == 1 ? 0.42 : 0.55;
                vec3 button = DETAIL == 1 ? mix(vec3(0.72), u_cloth, 0.35) : vec3(0.34, 0.24, 0.13);
                button *= 1.0 - 0.5 * line(r - 0.62 * size, 0.06) - 0.6 * (1.0 - smoothstep(0.05, 0.09, abs(length(abs(b) - 0.10))));
                if (rest.y < -16.5) {
                    tone *= 1.0 - 0.45 * (1.0 - smoothstep(size, size + 0.22, length(b + vec2(-0.05, 0.12))));
                    float on = 1.0 - smoothstep(size - 0.05, size + 0.03, r);
                    cloth = mix(cloth, button, on);
                    tone = mix(tone, 1.0, on);
                    slope = mix(slope, b * 0.8, on);
                }
            }
            if (DETAIL == 2) {
                float teeth = step(abs(rest.x), 0.30);
                tone *= 1.0 - 0.45 * line(abs(rest.x) - 0.75, 0.30);
                cloth = mix(cloth, vec3(0.33, 0.34, 0.36) * (0.55 + 0.6 * step(0.5, fract(rest.y * 2.4 + step(0.0, rest.x) * 0.5))), teeth);
                seam = max(seam, 0.5 * line(abs(rest.x) - 1.3, 0.06));
            }
            if (DETAIL == 3) {
                float yoke = rest.y + 22.0 + 0.10 * abs(rest.x);
                seam = max(seam, line(yoke, 0.10));
                float flap = max(abs(abs(rest.x) - 9.0) - 3.6, abs(yoke + 2.0) - 1.9 - 0.25 * (3.6 - abs(abs(rest.x) - 9.0)));
                if (yoke < 0.0) tone *= 1.0 - 0.35 * line(flap, 0.16);
                vec3 thread = vec3(0.62, 0.36, 0.12);
                float dash = step(0.3, fract((c.x + c.y) * 1.6));
                cloth = mix(cloth, thread, 0.75 * dash * max(line(yoke + 0.35, 0.07), yoke < 0.0 ? line(flap + 0.35, 0.07) : 0.0));
            }
            if (DETAIL == 4) {
                float pocket = max(abs(rest.x - 10.0) - 3.6, abs(rest.y + 25.5 - 0.12 * rest.x) - 0.75);
                tone *= 1.0 - 0.4 * line(pocket, 0.10);
            }
        }
        if (DETAIL == 3) {
            vec3 thread = vec3(0.62, 0.36, 0.12);
            cloth = mix(cloth, thread, 0.6 * line(sleeve + 0.35, 0.07));
        }
        slope.y -= 0.5 * (1.0 - smoothstep(0.0, 0.35, below));       // the edge is turned in
        ao *= 0.70 + 0.30 * smoothstep(-0.1, 0.9, below);
    } else {
        seam = 0.35 * line(v_cloth.z - 0.55, 0.08);
        slope.y -= 0.45 * (1.0 - smoothstep(0.0, 0.25, v_cloth.z));
    }
    float fibre = texture(u_folds, fract(c * vec2(0.071, 0.037))).a - 0.5;
    cloth *= (1.0 - 0.45 * seam) * tone * mix(1.0, v_open, 0.5) * (1.0 + 0.16 * fibre);
    slope += 0.14 * fibre;

    vec3 n = normalize(v_normal);
    vec3 v = to_camera(v_world);
    if (dot(n, v) < 0.0) n = -n;
    vec3 du = dFdx(v_world), dv = dFdy(v_world);
    vec2 cx = dFdx(c), cy = dFdy(c);
    vec3 across = cross(dv, n), along = cross(n, du);
    float det = dot(du, across);
    vec3 climb = slope.x * (across * cx.x + along * cy.x) + slope.y * (across * cx.y + along * cy.y);
    n = normalize(n - climb * (sign(det) / max(abs(det), 1e-7)));
    float grazing = 1.0 - clamp(dot(n, v), 0.0, 1.0);
    cloth += u_sheen * grazing * grazing * grazing * (0.05 + 0.45 * cloth);
    f_colour = developed(shade(cloth, v_world, n, v, ao, vec3(0.18), 0.012, 6.0), u_class);
}
